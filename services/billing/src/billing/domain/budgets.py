"""Budgets as people set and see them: what each limits, who may set it, and what of it is spent. Pure.

A budget is one's own (`owner_user_id`) or, set by an admin for others, nobody's in particular. A user's own budget for a
provider or model counts that user's calls only; an admin's counts everybody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from common.actors import Actor
from common.budgets import GLOBAL_SCOPE, key_scope, team_scope, user_scope
from common.contracts.snapshots import BudgetSnapshot
from common.errors import Forbidden, NotFound, Unprocessable
from common.money import Money
from common.periods import Period, period_at

from billing.domain.counters import Counter, Span

Scope = Literal["user", "key", "team", "provider", "model", "global"]
Mode = Literal["hard", "soft"]

DEFAULT_THRESHOLDS = (50, 80, 100)
"""Percent of a limit at which it is told that they were reached."""

_HUNDRED = Decimal(100)


class BudgetNotFound(NotFound):
    """There is no such budget, or it is somebody else's."""


class OnlyAdmins(Forbidden):
    """A budget that only admins may set or end."""


class ScopeIncomplete(Unprocessable):
    """A scope that does not say which one of its kind is meant."""


@dataclass(frozen=True, slots=True)
class Setter:
    """Who sets a budget."""

    user_id: str
    is_admin: bool
    origin: str | None = None

    @property
    def actor(self) -> Actor:
        """The same, for the audit trail."""
        return Actor(self.user_id, self.origin)


@dataclass(frozen=True, slots=True)
class Target:
    """What a budget limits: as it was asked for, and as the counters name it."""

    scope: Scope
    scope_id: str | None
    counter_scope: str
    owner_user_id: str | None


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget."""

    id: str
    target: Target
    span: Span
    mode: Mode
    limit: Decimal
    thresholds: tuple[int, ...]
    created_at: datetime
    updated_at: datetime

    def period(self, at: datetime) -> Period:
        """The period that is running."""
        return period_at(self.span.kind, self.span.zone, at)

    def counter(self, at: datetime) -> Counter:
        """The counter that it is held against now."""
        return Counter(self.target.counter_scope, self.period(at).name)

    def percentage(self, spent: Decimal) -> Decimal:
        """How much of it an amount is, in percent; of nothing everything is all."""
        return spent * _HUNDRED / self.limit if self.limit else _HUNDRED

    def reached(self, spent: Decimal) -> list[int]:
        """The thresholds that an amount has reached, lowest first; a limit of zero is reached once something is spent."""
        if not self.limit and not spent:
            return []
        return [threshold for threshold in self.thresholds if spent * _HUNDRED >= threshold * self.limit]

    def snapshot(self) -> BudgetSnapshot:
        """As the gateways hold it."""
        return BudgetSnapshot(
            id=self.id,
            scope=self.target.counter_scope,
            period=self.span.kind,
            zone=self.span.zone,
            mode=self.mode,
            limit=Money(self.limit),
            owner_user_id=self.target.owner_user_id,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget and how it stands; `reserved` is None while Redis cannot say."""

    budget: Budget
    period: Period
    spent: Decimal
    reserved: Decimal | None

    @property
    def remaining(self) -> Decimal:
        """What may still be spent; never less than nothing."""
        return max(Decimal(0), self.budget.limit - self.spent - (self.reserved or Decimal(0)))


def target_of(by: Setter, scope: Scope, scope_id: str | None, key_owner: str | None) -> Target:
    """What a budget limits, when `by` asks for it; `key_owner` is the user of the key that is meant, if one is.

    OnlyAdmins for what users may not limit, BudgetNotFound for another user or another's key, ScopeIncomplete for a
    scope that needs an id and has none.
    """
    if scope == "user":
        return _user_target(by, scope_id)
    if scope == "global":
        if not by.is_admin:
            raise OnlyAdmins("only admins set a global budget")
        return Target(scope, None, GLOBAL_SCOPE, None)
    if not scope_id:
        raise ScopeIncomplete(f"scope {scope} needs a scope_id")
    if scope == "key":
        if not by.is_admin and key_owner != by.user_id:
            raise BudgetNotFound("no such key")
        return Target(scope, scope_id, key_scope(scope_id), None if by.is_admin else by.user_id)
    if scope == "team":
        if not by.is_admin:
            raise OnlyAdmins("only admins set the budget of a team")
        return Target(scope, scope_id, team_scope(scope_id), None)
    place = f"{scope}:{scope_id}"
    if scope == "model" and "/" not in scope_id:
        raise ScopeIncomplete("the scope_id of a model is <provider type>/<name>")
    if by.is_admin:
        return Target(scope, scope_id, place, None)
    return Target(scope, scope_id, f"{user_scope(by.user_id)}/{place}", by.user_id)


def refuse_change(by: Setter, budget: Budget) -> None:
    """BudgetNotFound for another's budget; OnlyAdmins for one that an admin has set for this user."""
    if by.is_admin or budget.target.owner_user_id == by.user_id:
        return
    if is_visible(by, budget):
        raise OnlyAdmins("this budget was set by an admin")
    raise BudgetNotFound("no such budget")


def is_visible(by: Setter, budget: Budget) -> bool:
    """Whether somebody sees a budget: their own, and one that limits nobody but them; admins see all."""
    own = user_scope(by.user_id)
    counted = budget.target.counter_scope
    is_theirs = budget.target.owner_user_id == by.user_id or counted == own or counted.startswith(f"{own}/")
    return by.is_admin or is_theirs


def passed(budget: Budget, before: Decimal, after: Decimal) -> list[int]:
    """The thresholds that an amount reaches and an amount before it did not."""
    known = set(budget.reached(before))
    return [threshold for threshold in budget.reached(after) if threshold not in known]


def _user_target(by: Setter, scope_id: str | None) -> Target:
    user_id = scope_id or by.user_id
    if user_id == by.user_id:
        return Target("user", user_id, user_scope(user_id), user_id)
    if not by.is_admin:
        raise BudgetNotFound("no such user")
    return Target("user", user_id, user_scope(user_id), None)
