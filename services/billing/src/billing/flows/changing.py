"""Changes of many charges, a page after the other, whose sums are written once at the end.

A booking holds the rows of months, days and counters for milliseconds. Who changes thousands of charges in one transaction
would hold them all that time, and with them every booking: so the sums are kept here and written last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import localcontext

from common.postgres.pool import Connection

from billing.domain import ledger
from billing.domain.budgets import Budget
from billing.domain.charges import PRECISION, Change
from billing.domain.counters import Counter
from billing.domain.counting import Counted
from billing.domain.ledger import MonthlyRow, ProviderDay, Tally
from billing.flows.booking import add_differences, differences_of
from billing.store import days, months
from billing.store.totals import Total


class Changing:
    """The sums of changes; bounded by the keys, models, days and counters that the changed charges have."""

    def __init__(self) -> None:
        self._months: dict[MonthlyRow, Tally] = {}
        self._days: dict[ProviderDay, Tally] = {}
        self._counters: dict[Counter, Counted] = {}
        self._asked: dict[str, Budget] = {}

    async def take(self, connection: Connection, changes: Sequence[Change]) -> None:
        """Add changes."""
        asked, found = await differences_of(connection, changes)
        self._asked |= {budget.id: budget for budget in asked}
        with localcontext() as context:
            context.prec = PRECISION
            for before, after in changes:
                if before is not None:
                    ledger.count(self._months, self._days, before, -1)
                ledger.count(self._months, self._days, after, 1)
            for counter, counted in found.items():
                known = self._counters.get(counter, Counted())
                self._counters[counter] = Counted(known.total + counted.total, known.settled + counted.settled)

    async def write(self, connection: Connection, at: datetime, *, tells: bool) -> list[Total]:
        """Write the sums; the counters whose `other` part has changed."""
        if self._months:
            await months.add(connection, self._months)
        if self._days:
            await days.add(connection, self._days)
        return await add_differences(connection, [*self._asked.values()], self._counters, at, tells=tells)
