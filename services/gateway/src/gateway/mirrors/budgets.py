"""The budgets beyond the monthly ones of keys, users and teams, found by their scope."""

from __future__ import annotations

from common.budgets import Budget, is_attempt_scope
from common.contracts.snapshots import BudgetSnapshot
from common.periods import is_zone


class Budgets:
    """All further budgets; `apply` is the mirror's `on_change`. `generation` grows with every change."""

    def __init__(self) -> None:
        self._by_id: dict[str, Budget] = {}
        self._by_scope: dict[str, tuple[Budget, ...]] = {}
        self.generation = 0
        self.depend_on_attempts = False

    def __len__(self) -> int:
        return len(self._by_id)

    def apply(self, budget_id: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        budget = BudgetSnapshot.model_validate_json(body).to_budget() if body is not None else None
        if budget is not None:
            _check_zone(budget.zone)
        self.generation += 1
        old = self._by_id.pop(budget_id, None)
        if budget is not None:
            self._by_id[budget_id] = budget
        for scope in {one.scope for one in (old, budget) if one is not None}:
            self._index(scope)
        self.depend_on_attempts = any(is_attempt_scope(scope) for scope in self._by_scope)

    def of_scope(self, scope: str) -> tuple[Budget, ...]:
        """The budgets that a scope counts in."""
        return self._by_scope.get(scope, ())

    def _index(self, scope: str) -> None:
        found = tuple(budget for budget in self._by_id.values() if budget.scope == scope)
        if found:
            self._by_scope[scope] = found
        else:
            self._by_scope.pop(scope, None)


def _check_zone(zone: str) -> None:
    if not is_zone(zone):
        raise ValueError(f"no such time zone: {zone}")
