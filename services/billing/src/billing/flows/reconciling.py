"""Reconciliation: a provider's bill against what the ledger owes it; accepted drift is one correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import structlog
from common.actors import Actor
from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.ids import derived_id, uuid7
from common.money import Money
from common.postgres import outbox
from common.postgres.pool import Pool

from billing.domain import bills
from billing.domain.bills import TOKENS_ALONE, BillRow, Format, MatchedRow
from billing.domain.charges import Month
from billing.domain.ledger import Entry
from billing.flows import messages
from billing.flows.known import Known
from billing.sources.bills import BILLS, BillSource, bill_row
from billing.store import entries, locks, reconciliations
from billing.store.reconciliations import Reconciliation

log = structlog.get_logger()

MOST_DAYS = 92
"""Days that a fetched bill may have."""
SCHEDULE = Actor("schedule")
"""Who fetches bills by the clock, as the audit trail and a reconciliation's `created_by` name it."""
RECONCILED = "operator:reconciliation"
"""The account of what providers bill and no call of ours explains."""


class ReconciliationNotFound(NotFound):
    """There is no such reconciliation."""


class NothingToAccept(Conflict):
    """A drift that was accepted already, or that is none."""


class NoSuchBill(Unprocessable):
    """A provider that cannot be asked for its bill, or that nobody has given a key for."""


class DaysUnclear(Unprocessable):
    """Days that are none, or too many."""


class Reconciling:
    """The journeys of reconciliation."""

    def __init__(self, pool: Pool, known: Known, source: BillSource, clock: Clock) -> None:
        self._pool = pool
        self._source = source
        self._known = known
        self._clock = clock

    async def upload(
        self, by: Actor, provider_type: str, form: Format, text: str, *, with_simulated: bool
    ) -> tuple[Reconciliation, Sequence[MatchedRow]]:
        """Hold a bill against the ledger; BillUnreadable when it is none."""
        bill = bills.read_bill(form, text)
        days = (min(row.day for row in bill), max(row.day for row in bill))
        return await self._hold_against(by, provider_type, form, bill, days, with_simulated=with_simulated)

    async def fetch(
        self, by: Actor, provider_type: str, form: Format | None, first: date, last: date
    ) -> tuple[Reconciliation, Sequence[MatchedRow]]:
        """Ask a provider for its bill of some days, and hold it against what the ledger owes for these. What the simulator
        bills is held against what it answered, too. NoSuchBill, DaysUnclear, SourceUnreadable, BillUnreadable."""
        if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
            raise DaysUnclear(f"the days go from first to last, at most {MOST_DAYS} of them")
        row, place = bill_row(provider_type, form), self._source.place_of(provider_type)
        if row is None or place is None:
            raise NoSuchBill(
                f"{provider_type} cannot be asked for this bill"
                if row is None
                else f"no admin key for {provider_type}: BILLING_{provider_type.upper()}_ADMIN_KEY"
            )
        pages = await self._source.pages(row, first, last)
        told = [one for page in pages for one in bills.read_page(row.form, page) if first <= one.day <= last]
        return await self._hold_against(
            by, provider_type, row.form, told, (first, last), with_simulated=place.is_simulated
        )

    def fetchable(self) -> Sequence[str]:
        """The provider types that can be asked for a bill."""
        return sorted({row.provider_type for row in BILLS if self._source.place_of(row.provider_type) is not None})

    async def fetch_once(self, provider_type: str, day: date) -> Reconciliation | None:
        """Fetch a provider's bill of a day by the clock; None when that was done, or another replica is at it. Raises what
        `fetch` does."""
        async with self._pool.acquire() as connection:
            if not await locks.try_bills(connection):
                return None
            if await reconciliations.has_bill(connection, provider_type, day, SCHEDULE.id):
                return None
            made, _ = await self.fetch(SCHEDULE, provider_type, None, day, day)
        return made

    async def known_drifts(self) -> dict[str, float]:
        """By provider type, how far its last bill and the ledger are apart, as a share of what is booked; 0 once that was
        accepted."""
        async with self._pool.acquire() as connection:
            found = await reconciliations.latest(connection)
        return {one.provider_type: 0.0 if one.accepted_at else _share(one) for one in found}

    async def _hold_against(
        self, by: Actor, provider_type: str, form: Format, bill: Sequence[BillRow], days: tuple[date, date], *,
        with_simulated: bool,
    ) -> tuple[Reconciliation, Sequence[MatchedRow]]:  # fmt: skip
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            owed = await reconciliations.booked(connection, provider_type, *days, with_simulated)
            matched = bills.match(
                bill, owed, lambda name: self._own_name(provider_type, name), has_amounts=form not in TOKENS_ALONE
            )
            rows_off = sum(row.is_off for row in matched.rows)
            made = Reconciliation(
                uuid7(), provider_type, form, *days, matched.billed, matched.booked, matched.drift_ratio,
                matched.is_alarming, rows_off, by.id, now,
            )  # fmt: skip
            await reconciliations.insert(connection, made, matched.rows)
            act = messages.audited(by, "bill.reconciled", made.id, now, provider=provider_type, format=form)
            await outbox.add(connection, [messages.reconciled(made, now), act])
        if made.is_alarming:
            log.error("bill_differs", provider=provider_type, drift_usd=str(Money(made.drift)), rows_off=rows_off)
        return made, matched.rows

    async def page(self, provider_type: str | None, before: str | None, limit: int) -> list[Reconciliation]:
        """Reconciliations, newest first."""
        async with self._pool.acquire() as connection:
            return await reconciliations.page(connection, provider_type, before, limit)

    async def one(self, reconciliation_id: str) -> tuple[Reconciliation, Sequence[MatchedRow]]:
        """One reconciliation with its rows."""
        async with self._pool.acquire() as connection, connection.transaction():
            found = await reconciliations.hold(connection, reconciliation_id)
            if found is None:
                raise ReconciliationNotFound("no such reconciliation")
            return found, await reconciliations.rows_of(connection, reconciliation_id)

    async def accept(self, by: Actor, reconciliation_id: str) -> Reconciliation:
        """Book a drift as one correction; NothingToAccept when that was done, or there is none."""
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            present = await locks.share_counters(connection)
            found = await reconciliations.hold(connection, reconciliation_id)
            if found is None:
                raise ReconciliationNotFound("no such reconciliation")
            if found.accepted_at is not None or not found.drift:
                raise NothingToAccept("this drift was accepted already" if found.accepted_at else "there is no drift")
            await entries.append(connection, _correction(found), now, present.closed)
            await reconciliations.accept(connection, found.id, by.id, now)
            accepted = replace(found, accepted_by=by.id, accepted_at=now)
            act = messages.audited(by, "drift.accepted", found.id, now, drift_usd=str(Money(found.drift)))
            await outbox.add(connection, [messages.reconciled(accepted, now), act])
        return accepted

    def _own_name(self, provider_type: str, name: str) -> str:
        model = self._known.model(provider_type, name)
        return model.name if model is not None else name


def _share(found: Reconciliation) -> float:
    """A figure for a gauge; without anything booked any bill is infinitely much."""
    return math.inf if found.drift_ratio is None else float(found.drift_ratio)


def _correction(found: Reconciliation) -> list[Entry]:
    """Two lines in the month that the bill ends in."""
    transaction, day = UUID(derived_id("reconciliation", found.id)), found.last_day
    at, month = datetime.combine(day, time(), UTC), Month(day.year, day.month)
    return [
        Entry(transaction, f"reconciliation/{found.id}", account, amount, "reconciliation", month, at)
        for account, amount in ((RECONCILED, found.drift), (f"provider:{found.provider_type}", -found.drift))
    ]
