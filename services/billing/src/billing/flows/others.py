"""What billing counts in Redis itself: told soon after each booking, and all of it again every so often.

The totals are absolute and versioned, so a repeat changes nothing; whatever was committed and not told, because a process
or Redis died between the two, is told by the next sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from datetime import datetime, timedelta

from common.clock import Clock
from common.contracts.topology import counter_suffix, other_key
from common.money import nano_ceiling
from common.periods import period_at
from common.postgres.pool import Connection, Pool

from billing.domain.counters import MONTHLY, Counter, Span
from billing.store import budgets, totals
from billing.store.counters import Counters
from billing.store.totals import Total

AT_ONCE = 500
"""Counters that one script call takes."""

_FIRST = Counter("", "")
_MOMENT = timedelta(microseconds=1)


class Others:
    """The counters `other:`; `tell` and `sweep` raise what Redis or the database raises."""

    def __init__(self, pool: Pool, counters: Counters, clock: Clock) -> None:
        self._pool = pool
        self._counters = counters
        self._clock = clock
        self._waiting: dict[Counter, Total] = {}  # bounded by the number of counters

    def changed(self, changed: Iterable[Total]) -> None:
        """Have counters told soon; committed ones only."""
        for total in changed:
            known = self._waiting.get(total.counter)
            if known is None or known.version < total.version:
                self._waiting[total.counter] = total

    async def tell(self) -> None:
        """Tell what waits."""
        while self._waiting:
            some = list(self._waiting.values())[:AT_ONCE]
            await self._tell(some)
            for total in some:
                if self._waiting.get(total.counter) is total:
                    del self._waiting[total.counter]

    async def sweep(self) -> None:
        """Tell every counter of the present and last periods."""
        async with self._pool.acquire() as connection:
            periods = await counted_periods(connection, self._clock.now())
            position = _FIRST
            while some := await totals.page(connection, periods, position, AT_ONCE):
                await self._tell(some)
                position = some[-1].counter

    async def restore(self, connection: Connection) -> None:
        """Bring all counters of the present and last periods back, those of settlement too; nothing is booked
        meanwhile. What settlement counted of calls that nothing is booked of yet goes, counters of which nothing is booked
        at all included: their events, when they come, are of the epoch before, and billing's to count."""
        periods = await counted_periods(connection, self._clock.now())
        position, known = _FIRST, set[str]()  # as many as there are counters of these periods
        while some := await totals.page(connection, periods, position, AT_ONCE):
            settled = {f"cost:{counter_suffix(*total.counter)}": nano_ceiling(total.counted.settled) for total in some}
            await self._counters.restore({key: nano for key, nano in settled.items() if nano > 0})
            await self._counters.forget([key for key, nano in settled.items() if nano <= 0])
            await self._tell(some)
            known.update(settled)
            position = some[-1].counter
        await self._forget_unbooked(periods, known)

    async def _forget_unbooked(self, periods: Sequence[str], known: Set[str]) -> None:
        ends = tuple({f":{name}" for period in periods for name in (period, period.replace("-", ":"))})
        unbooked = [key async for key in self._counters.costs() if key.endswith(ends) and key not in known]
        for start in range(0, len(unbooked), AT_ONCE):
            await self._counters.forget(unbooked[start : start + AT_ONCE])

    async def _tell(self, some: Sequence[Total]) -> None:
        await self._counters.tell_other(
            {other_key(*one.counter): (nano_ceiling(one.counted.other), one.version) for one in some}
        )


async def counted_periods(connection: Connection, now: datetime) -> list[str]:
    """The names of the periods that are running and of those before, whose last calls may still be running."""
    spans = {MONTHLY, *await budgets.spans(connection)}
    return sorted({name for span in spans for name in _present_and_last(span, now)})


def _present_and_last(span: Span, now: datetime) -> list[str]:
    present = period_at(span.kind, span.zone, now)
    if present.starts_at is None:
        return [present.name]
    return [present.name, period_at(span.kind, span.zone, present.starts_at - _MOMENT).name]
