"""Re-rating: shown first, with nothing written, then booked as corrections if it would still do what was shown.

Its id is made of what it changes. To book is to name that id: a price or a charge that changed meanwhile makes another, and
nothing is booked; the same id again books nothing and tells what was booked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import structlog
from common.actors import Actor
from common.clock import Clock
from common.errors import Conflict, Unprocessable
from common.ids import derived_id
from common.postgres import outbox
from common.postgres.pool import Connection, Pool
from common.pricing import Price, in_force

from billing.domain import ledger
from billing.domain.charges import Change, Charge
from billing.domain.rerating import Difference, Place, PriceAt, Tallied, rerated
from billing.flows import messages
from billing.flows.changing import Changing
from billing.flows.known import Known
from billing.flows.others import Others
from billing.store import charges, entries, locks, reratings
from billing.store.reratings import MOST_ROWS, Asked, Booked

log = structlog.get_logger()

MOST_DAYS = 366
MOST_CALLS = 500_000
"""Calls that one re-rating may change: it is one transaction, and its digest is made twice."""


class PeriodUnclear(Unprocessable):
    """Days that are none, or too many."""


class TooManyCalls(Unprocessable):
    """More calls than one re-rating may change."""


class RatesChanged(Conflict):
    """What would be booked is not what was shown."""


@dataclass(frozen=True, slots=True)
class Period:
    """What is to be priced again: UTC days, both included; a provider's or a model's calls, or all (None)."""

    first_day: date
    last_day: date
    provider_type: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a re-rating would change. `unpriced` attempts used something and have no price; `places` are those with the
    largest differences, of `place_count` in all."""

    id: str
    seen: int
    calls: int
    unpriced: int
    total: Difference
    places: Sequence[tuple[Place, Difference]]
    place_count: int


class Rerating:
    """The journeys of re-rating."""

    def __init__(self, pool: Pool, known: Known, others: Others, clock: Clock) -> None:
        self._pool = pool
        self._known = known
        self._others = others
        self._clock = clock

    async def show(self, period: Period) -> Shown:
        """What would change; nothing is written. PeriodUnclear, TooManyCalls."""
        asked, price_at = self._asked(period), self._prices(period)
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return _shown(await _tally(connection, asked, price_at))

    async def book(self, by: Actor, period: Period, rerating_id: str) -> Booked:
        """Book what was shown under this id; what was booked, if it was before. RatesChanged when it would be another."""
        asked, price_at = self._asked(period), self._prices(period)
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            present = await locks.share_counters(connection)
            await locks.take_reratings(connection)
            if (known := await reratings.find(connection, rerating_id)) is not None:
                return known
            tallied = await _tally(connection, asked, price_at)
            if tallied.id != rerating_id or not tallied.calls:
                raise RatesChanged("this would change something else than what was shown under this id: look again")
            changing = Changing()
            async for page in reratings.pages(connection, asked):
                changes = _changes(page, price_at)[0]
                if changes:
                    held = await charges.lock(connection, [after.request_id for _, after in changes])
                    assert all(held[after.request_id] == before for before, after in changes)
                    await entries.append(connection, _lines(changes, rerating_id), now, present.closed)
                    await charges.replace(connection, [after for _, after in changes], now)
                    await reratings.mark(connection, held.keys(), rerating_id)
                    await changing.take(connection, changes)
                    await outbox.add(connection, messages.rerated(rerating_id, changes, now))
            changed = await changing.write(connection, now, tells=True)
            shown = _shown(tallied)
            booked = Booked(
                rerating_id, period.first_day, period.last_day, period.provider_type, period.model, shown.calls,
                shown.total.before, shown.total.after, shown.places, by.id, now,
            )  # fmt: skip
            await reratings.insert(connection, booked)
            act = messages.audited(by, "calls.rerated", rerating_id, now, calls=str(booked.calls))
            await outbox.add(connection, [act])
        self._others.changed(changed)
        log.warning("calls_rerated", rerating=rerating_id, calls=booked.calls, by=by.id)
        return booked

    async def page(self, before: datetime | None, limit: int) -> list[Booked]:
        """Those that were booked, newest first."""
        async with self._pool.acquire() as connection:
            return await reratings.page(connection, before, limit)

    def _asked(self, period: Period) -> Asked:
        span = period.last_day - period.first_day
        if not timedelta(0) <= span < timedelta(days=MOST_DAYS):
            raise PeriodUnclear(f"the days go from first to last, at most {MOST_DAYS} of them")
        starts_at = datetime.combine(period.first_day, time(), UTC)
        ends_at = datetime.combine(period.last_day, time(), UTC) + timedelta(days=1)
        models = None if period.model is None else self._known.spellings(period.provider_type, period.model)
        return Asked(starts_at, ends_at, period.provider_type, models)

    def _prices(self, period: Period) -> PriceAt:
        """The prices that the catalog has now, of what is asked for; each model is looked up once."""
        spellings = None if period.model is None else self._known.spellings(period.provider_type, period.model)
        found: dict[tuple[str, str], list[Price]] = {}

        def price_at(provider_type: str, model: str, at: datetime) -> Price | None:
            is_meant = period.provider_type in (None, provider_type) and (spellings is None or model in spellings)
            if not is_meant:
                return None
            place = (provider_type, model)
            if place not in found:
                known = self._known.model(provider_type, model)
                found[place] = [price.to_price() for price in known.prices] if known is not None else []
            return in_force(found[place], at)

        return price_at


async def _tally(connection: Connection, asked: Asked, price_at: PriceAt) -> Tallied:
    tallied = Tallied()
    async for page in reratings.pages(connection, asked):
        changes, unpriced = _changes(page, price_at)
        tallied.seen += len(page)
        tallied.unpriced += unpriced
        tallied.add(changes)
        if tallied.calls > MOST_CALLS:
            raise TooManyCalls(f"more than {MOST_CALLS} calls would change: name fewer days, or a provider or model")
    return tallied


def _changes(page: Sequence[Charge], price_at: PriceAt) -> tuple[list[Change], int]:
    """What changes of some charges, and how many of their attempts have no price."""
    found = [(charge, *rerated(charge, price_at)) for charge in page]
    changes: list[Change] = [(before, after) for before, after, _ in found if after is not before]
    return changes, sum(unpriced for _, _, unpriced in found)


def _lines(changes: Sequence[Change], rerating_id: str) -> list[ledger.Entry]:
    """The corrections: a transaction a call, named by call and re-rating."""
    lines: list[ledger.Entry] = []
    for before, after in changes:
        transaction = UUID(derived_id("rerating", rerating_id, after.request_id))
        lines += ledger.entries_between(before, after, transaction, "rerating")
    return lines


def _shown(tallied: Tallied) -> Shown:
    places: Mapping[Place, Difference] = tallied.places
    largest = sorted(places.items(), key=lambda one: (-abs(one[1].after - one[1].before), one[0]))[:MOST_ROWS]
    return Shown(tallied.id, tallied.seen, tallied.calls, tallied.unpriced, tallied.total(), largest, len(places))
