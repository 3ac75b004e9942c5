"""Billing's journeys: book what calls cost, show it, check it, and keep the counters of admission true to it.

Each public method is one journey and at most one transaction. Time and ids are made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from common.clock import Clock
from common.contracts.topology import cost_key
from common.ids import uuid7
from common.money import nano_ceiling
from common.postgres.pool import Connection, Pool
from nats.js import JetStreamContext

from billing.domain import ledger
from billing.domain.audit import Backlog, Findings
from billing.domain.ledger import Charge, Month
from billing.domain.views import LedgerFilter, LedgerLine, MonthlySummary, SummaryFilter, SummaryPosition
from billing.store import audit, charges, entries, locks, months
from billing.store.backlog import backlog
from billing.store.counters import Counters

_COUNTERS_AT_ONCE = 500
_EXAMPLES = 5


class Billing:
    """The service's journeys over its database, the bus and Redis."""

    def __init__(self, pool: Pool, jetstream: JetStreamContext, counters: Counters, clock: Clock) -> None:
        self._pool = pool
        self._jetstream = jetstream
        self._counters = counters
        self._clock = clock

    async def record_usage(self, events: Sequence[tuple[int, Charge]]) -> None:
        """Book a batch of events (stream sequence, charge): all of it or nothing; what was booked before changes
        nothing. Events of the same request may be booked by others at the same time."""
        at = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            claimed = await charges.claim_events(connection, [(c.event_id, sequence) for sequence, c in events], at)
            fresh = ledger.unseen([charge for _, charge in events], claimed)
            if fresh:
                await _book(connection, fresh, at)

    async def remember_key_names(self, names: Mapping[str, str]) -> None:
        """Keep the names that keys are known by now, by key id."""
        async with self._pool.acquire() as connection:
            await months.remember_names(connection, names, self._clock.now())

    async def summaries(self, wanted: SummaryFilter, after: SummaryPosition | None, limit: int) -> list[MonthlySummary]:
        """What keys used and cost, month by month, newest first."""
        async with self._pool.acquire() as connection:
            return await months.summaries(connection, wanted, after, limit)

    async def ledger(self, wanted: LedgerFilter, before: int | None, limit: int) -> list[LedgerLine]:
        """Lines of the ledger, newest first."""
        async with self._pool.acquire() as connection:
            return await entries.newest(connection, wanted, before, limit)

    async def audit(self) -> Findings:
        """Check the books against themselves, all of them as of one moment."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            total = await audit.ledger_total(connection)
            unbalanced_count, unbalanced = await audit.unbalanced(connection, _EXAMPLES)
            off_count, off = await audit.months_off(connection, _EXAMPLES)
        return Findings(total, unbalanced_count, off_count, unbalanced, off)

    async def backlog(self) -> Backlog:
        """How far billing is behind the stream."""
        return await backlog(self._jetstream)

    async def open_admission(self) -> bool:
        """Keep admission open; where it is closed, because Redis is new or has lost what it held, open it once every
        event was booked and the counters hold what the ledger does. False when that is not so yet."""
        if await self._counters.are_open():
            return True
        if await self._counters.waiting_events() or not (await self.backlog()).is_empty:
            return False
        async with self._pool.acquire() as connection, connection.transaction():
            if not await locks.try_counters(connection):
                return False
            for month in _counted_months(self._clock.now()):
                await self._restore_counters(connection, month)
            await self._counters.open(uuid7())
        return True

    async def _restore_counters(self, connection: Connection, month: Month) -> None:
        key = ""
        while rows := await months.settled(connection, month, key, _COUNTERS_AT_ONCE):
            period = f"{month.year:04}-{month.month:02}"
            await self._counters.raise_to({cost_key(name, period): nano_ceiling(total) for name, total in rows})
            key = rows[-1][0]


async def _book(connection: Connection, fresh: Sequence[Charge], at: datetime) -> None:
    """Book events that nobody has booked. Most requests have one event: their charges are written at once, and only
    those that had one already are read, held and replaced."""
    booking = ledger.book({}, fresh)
    created = await charges.create(connection, booking.charges.values(), at)
    if len(created) < len(booking.charges):
        standing = await charges.lock(connection, booking.charges.keys() - created)
        booking = ledger.book(standing, fresh)
        await charges.replace(connection, [c for c in booking.charges.values() if c.request_id in standing], at)
    if booking.entries:
        await entries.append(connection, booking.entries, at)
    if booking.months:
        await months.add(connection, booking.months)


def _counted_months(now: datetime) -> tuple[Month, Month]:
    """The month that is and the one before, whose last calls may still be running."""
    first = now.astimezone(UTC).replace(day=1)
    last = first - timedelta(days=1)
    return Month(first.year, first.month), Month(last.year, last.month)
