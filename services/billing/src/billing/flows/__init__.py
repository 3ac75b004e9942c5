"""Billing's journeys: book what calls cost, show it, check it, and keep the counters of admission true to it.

Each public method is one journey and at most one transaction. Time and ids are made here. `Billing` puts the subjects
together; each has its own file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.clock import Clock
from common.postgres.pool import Pool
from nats.js import JetStreamContext

from billing.domain.audit import Findings
from billing.domain.charges import Charge
from billing.domain.views import LedgerFilter, LedgerLine, MonthlySummary, SummaryFilter, SummaryPosition
from billing.flows.admission import Admission
from billing.flows.booking import Books
from billing.flows.budgets import Budgets
from billing.flows.drift import DriftAudit
from billing.flows.dry_runs import DryRuns
from billing.flows.gap_audit import GapAudit
from billing.flows.known import Known
from billing.flows.others import Others
from billing.flows.reconciling import Reconciling
from billing.flows.rerating import Rerating
from billing.flows.resettling import Resettling
from billing.flows.statements import Statements
from billing.sources.bills import BillSource
from billing.store import audit, entries, months
from billing.store.counters import Counters

_EXAMPLES = 5


class Billing:
    """The service's journeys over its database, the bus and Redis."""

    def __init__(
        self,
        pool: Pool,
        jetstream: JetStreamContext,
        counters: Counters,
        clock: Clock,
        known: Known,
        bills: BillSource,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self.others = Others(pool, counters, clock)
        self.books = Books(pool, self.others, clock)
        self.resettling = Resettling(pool, counters)
        self.budgets = Budgets(pool, counters, self.others, clock)
        self.dry_runs = DryRuns(pool, counters, known, clock)
        self.statements = Statements(pool, clock)
        self.drift_audit = DriftAudit(pool, counters, clock)
        self.gap_audit = GapAudit(pool, jetstream, clock)
        self.reconciling = Reconciling(pool, known, bills, clock)
        self.rerating = Rerating(pool, known, self.others, clock)
        self.admission = Admission(pool, jetstream, counters, self.others, clock)

    async def record_usage(self, events: Sequence[tuple[int, Charge]]) -> None:
        """Book a batch of events (stream sequence, charge)."""
        await self.books.record_usage(events)

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
            counters_off = await audit.counters_off(connection)
            days_off = await audit.days_off(connection)
            statements_off = await audit.statements_off(connection)
        return Findings(total, unbalanced_count, off_count, counters_off, days_off, statements_off, unbalanced, off)
