"""Budgets: set, shown, ended. A change is one transaction of the row, its counter and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from common.clock import Clock
from common.contracts.topology import counter_suffix
from common.errors import Conflict, Unprocessable
from common.ids import uuid7
from common.money import NANO
from common.periods import is_zone
from common.postgres import outbox
from common.postgres.pool import Connection, Pool
from redis.exceptions import RedisError

from billing.domain.budgets import (
    Budget,
    BudgetNotFound,
    Mode,
    Scope,
    Setter,
    Standing,
    is_visible,
    refuse_change,
    target_of,
)
from billing.domain.charges import Month
from billing.domain.counters import MONTHLY, Counter, Span, names_pattern
from billing.domain.counting import Counted
from billing.flows import messages
from billing.flows.booking import tell_reached
from billing.flows.others import Others
from billing.store import budgets, locks, totals
from billing.store.counters import Counters
from billing.store.totals import LargeCall, Total

_LARGEST = 5
MOST_OWN = 100
"""Budgets that one user may set."""


class ZoneUnknown(Unprocessable):
    """A time zone that nobody knows."""


class TooManyBudgets(Conflict):
    """A user has set as many budgets as may be."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A budget as it is asked for."""

    scope: Scope
    scope_id: str | None
    span: Span
    mode: Mode
    limit: Decimal
    thresholds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BudgetSet:
    """A budget that was set: how it stands, whether it is a fresh one, and the outbox row that tells everybody."""

    standing: Standing
    is_created: bool
    outbox_id: int


@dataclass(frozen=True, slots=True)
class Explained:
    """A budget with what its figure is made of: the counter, when thresholds were reached, the dearest calls."""

    standing: Standing
    counted: Counted
    reached: dict[int, datetime]
    largest: list[LargeCall]


class Budgets:
    """The journeys of budgets. `by` sees their own, an admin all."""

    def __init__(self, pool: Pool, counters: Counters, others: Others, clock: Clock) -> None:
        self._pool = pool
        self._counters = counters
        self._others = others
        self._clock = clock

    async def set(self, by: Setter, wanted: Wanted, key_owner: str | None) -> BudgetSet:
        """Make a budget, or change the one of the same owner, scope and period. Calls from before it count, too."""
        _check_zone(wanted.span.zone)
        target = target_of(by, wanted.scope, wanted.scope_id, key_owner)
        now = self._clock.now()
        asked = Budget(uuid7(), target, wanted.span, wanted.mode, wanted.limit, wanted.thresholds, now, now)
        async with self._pool.acquire() as connection, connection.transaction():
            await locks.take_counters(connection)
            budget = await budgets.put(connection, asked)
            if budget.id == asked.id and target.owner_user_id is not None:
                await _refuse_too_many(connection, target.owner_user_id)
            total = await _count(connection, budget, now)
            last = await outbox.add(connection, [messages.budget_set(budget), _act(by, asked, budget)])
            reached = [(budget, total, percent) for percent in budget.reached(total.counted.total)]
            last = max(last, await tell_reached(connection, reached, now))
        self._others.changed([total])
        [standing] = await self._standings([budget], {total.counter: total.counted}, now)
        return BudgetSet(standing, budget.id == asked.id, last)

    async def visible(self, by: Setter) -> list[Standing]:
        """The budgets that somebody sees, and how they stand."""
        now = self._clock.now()
        async with self._pool.acquire() as connection:
            found = await budgets.visible(connection, None if by.is_admin else by.user_id)
            counted = await totals.standing(connection, [budget.counter(now) for budget in found])
        return await self._standings(found, counted, now)

    async def one(self, by: Setter, budget_id: str) -> Standing:
        """One budget and how it stands; BudgetNotFound also for another's."""
        now = self._clock.now()
        async with self._pool.acquire() as connection:
            budget = await budgets.find(connection, budget_id)
            if budget is None or not is_visible(by, budget):
                raise BudgetNotFound("no such budget")
            counted = await totals.standing(connection, [budget.counter(now)])
        [standing] = await self._standings([budget], counted, now)
        return standing

    async def explain(self, by: Setter, budget_id: str) -> Explained:
        """One budget and why it stands as it does; BudgetNotFound also for another's."""
        standing = await self.one(by, budget_id)
        scope, period = standing.budget.target.counter_scope, standing.period
        counter = Counter(scope, period.name)
        async with self._pool.acquire() as connection:
            counted = await totals.standing(connection, [counter])
            reached = await budgets.reached_at(connection, budget_id, period.name)
            largest = await totals.largest(connection, scope, period, _LARGEST)
        return Explained(standing, counted.get(counter, Counted()), reached, largest)

    async def end(self, by: Setter, budget_id: str) -> int:
        """End a budget; the outbox row that tells everybody."""
        async with self._pool.acquire() as connection, connection.transaction():
            budget = await budgets.find(connection, budget_id)
            if budget is None:
                raise BudgetNotFound("no such budget")
            refuse_change(by, budget)
            await budgets.remove(connection, budget_id)
            act = messages.audited(by.actor, "budget.removed", budget_id, self._clock.now())
            return await outbox.add(connection, [messages.budget_ended(budget_id), act])

    async def _standings(
        self, found: Sequence[Budget], counted: dict[Counter, Counted], now: datetime
    ) -> list[Standing]:
        held = await self._held([budget.counter(now) for budget in found])
        return [
            Standing(budget, budget.period(now), counted.get(budget.counter(now), Counted()).total, reserved)
            for budget, reserved in zip(found, held, strict=True)
        ]

    async def _held(self, counters: Sequence[Counter]) -> list[Decimal | None]:
        """What calls hold that are running; None while Redis is away."""
        try:
            amounts = await self._counters.amounts([f"held:{counter_suffix(*counter)}" for counter in counters])
        except (RedisError, OSError, TimeoutError):
            return [None] * len(counters)
        return [Decimal(nano) / NANO for nano in amounts]


def _act(by: Setter, asked: Budget, budget: Budget) -> outbox.Message:
    action = "budget.created" if budget.id == asked.id else "budget.changed"
    target = budget.target
    detail = {
        "scope": target.counter_scope,
        "period": budget.span.kind,
        "mode": budget.mode,
        "limit": str(budget.limit),
    }
    return messages.audited(by.actor, action, budget.id, asked.updated_at, **detail)


async def _count(connection: Connection, budget: Budget, now: datetime) -> Total:
    """What a budget's counter holds already: counted afresh, since nobody may have asked for it until now."""
    scope, period = budget.target.counter_scope, budget.period(now)
    month = Month(now.year, now.month) if budget.span == MONTHLY else None
    return await totals.recount(connection, scope, period, month, names_pattern(scope, budget.span), now)


async def _refuse_too_many(connection: Connection, user_id: str) -> None:
    if await budgets.count_owned(connection, user_id) > MOST_OWN:
        raise TooManyBudgets(f"a user may set at most {MOST_OWN} budgets")


def _check_zone(zone: str) -> None:
    if not is_zone(zone):
        raise ZoneUnknown(f"unknown time zone: {zone}")
