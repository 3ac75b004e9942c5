"""Which budgets a call counts in, and whether they let it pass: one truth for whoever admits and whoever explains. Pure.

A budget has a scope (whose calls count), a period and a limit. A call at a deployment has a handful of scopes; a budget
counts the calls that have its scope. What is spent is what was settled and what billing counts besides; what is held is
the worst case of the calls that are on their way. A hard budget lets a call pass while spent + held + its worst case is
no more than the limit; a soft one only counts.

Amounts are whole nano-USD, as the counters hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from common.money import Money
from common.periods import PeriodKind

Mode = Literal["hard", "soft"]

MONTHLY_QUOTAS: Mapping[str, int | None] = MappingProxyType(
    {"trial": 100, "starter": 1_000, "professional": 10_000, "enterprise": None}
)
"""Calls a month by tier; None: unlimited."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit on what a scope may spend in a period. `id` is None for the monthly budget that is part of a key's, a
    user's or a team's own record."""

    id: str | None
    scope: str
    kind: PeriodKind
    zone: str
    mode: Mode
    limit_nano: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget, and what of it is spent and held now."""

    budget: Budget
    spent_nano: int
    held_nano: int

    @property
    def free_nano(self) -> int:
        """What is neither spent nor held; negative when a soft budget, or one that was lowered, is passed."""
        return self.budget.limit_nano - self.spent_nano - self.held_nano


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a worst case fits. `rule`: the budget that refuses. `is_waiting`: only what other calls hold stands in
    the way, and they will not all cost as much."""

    is_allowed: bool
    rule: Standing | None = None
    is_waiting: bool = False


def monthly_budget(scope: str, limit: Money) -> Budget:
    """The monthly budget of a key, user or team, as its own record names it: hard, in UTC."""
    return Budget(None, scope, "monthly", "UTC", "hard", nano_floor(limit))


def nano_floor(limit: Money) -> int:
    """A limit in whole nano-USD, rounded down: a budget must not grow by rounding."""
    return -(-limit).to_nano_ceiling()


def call_scopes(api_key_id: str, user_id: str | None, team_id: str | None) -> tuple[str, ...]:
    """The scopes that a call has wherever it goes; its key's is the first."""
    scopes = [key_scope(api_key_id)]
    if user_id is not None:
        scopes.append(user_scope(user_id))
    if team_id is not None:
        scopes.append(team_scope(team_id))
    return (*scopes, GLOBAL_SCOPE)


def attempt_scopes(user_id: str | None, provider_type: str, model: str) -> tuple[str, ...]:
    """The scopes that a call has while it is at one provider's model, by the model's own name in the catalog."""
    places = (f"provider:{provider_type}", f"model:{provider_type}/{model}")
    if user_id is None:
        return places
    return (*places, *(f"{user_scope(user_id)}/{place}" for place in places))


def is_attempt_scope(scope: str) -> bool:
    """Whether a scope depends on where a call goes, so that another deployment may still be free."""
    return scope.partition(":")[0] in ("provider", "model") or "/provider:" in scope or "/model:" in scope


def key_scope(api_key_id: str) -> str:
    """`key:<id>`"""
    return f"key:{api_key_id}"


def user_scope(user_id: str) -> str:
    """`user:<id>`"""
    return f"user:{user_id}"


def team_scope(team_id: str) -> str:
    """`team:<id>`"""
    return f"team:{team_id}"


GLOBAL_SCOPE = "global"
"""The scope that every call has."""


def quota_scope(api_key_id: str, user_id: str | None) -> str:
    """Whose monthly quota a call uses: its user's, over all keys, or its key's own when it has no user."""
    return user_scope(user_id) if user_id is not None else key_scope(api_key_id)


def verdict(standings: Iterable[Standing], worst_nano: int) -> Verdict:
    """Whether every hard budget has room for a worst case. Of several that have not, one that is spent goes before one
    that is only held by others, then the one with the least room."""
    hard = [standing for standing in standings if standing.budget.mode == "hard"]
    refusing = [standing for standing in hard if standing.free_nano < worst_nano]
    if not refusing:
        return Verdict(is_allowed=True)
    spent = [one for one in refusing if one.budget.limit_nano - one.spent_nano < worst_nano]
    rule = min(spent or refusing, key=lambda one: one.free_nano)
    return Verdict(is_allowed=False, rule=rule, is_waiting=not spent)
