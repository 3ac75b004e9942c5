"""Whether `cost:` in Redis says what the ledger has, counter by counter.

Settlement goes before booking, so a counter in use is ahead for a moment. What counts is what stays: off by the same amount
at two looks between which nothing was settled or booked there. Each settlement rounds up to a whole nano-dollar, so a small
share is nothing.
"""

from __future__ import annotations

from common.clock import Clock
from common.contracts.topology import counter_suffix
from common.money import nano_ceiling
from common.postgres.pool import Pool

from billing.domain.audit import Adrift
from billing.domain.counters import Counter
from billing.flows.others import AT_ONCE, counted_periods
from billing.store import locks, totals
from billing.store.counters import Counters
from billing.store.totals import Total

_ROUNDED_NANO = 1_000
_ROUNDED_SHARE = 10_000

_FIRST = Counter("", "")


class DriftAudit:
    """Compares the counters; one instance a process, which remembers its last look."""

    def __init__(self, pool: Pool, counters: Counters, clock: Clock) -> None:
        self._pool = pool
        self._counters = counters
        self._clock = clock
        self._off: dict[Counter, tuple[int, int]] = {}  # bounded by the number of counters

    async def look(self) -> list[Adrift]:
        """The counters that are off and have not moved since the last look, the farthest first. None while admission is
        closed: they are restored then."""
        off: dict[Counter, tuple[int, int]] = {}
        found: list[Adrift] = []
        state = await self._counters.state()
        async with self._pool.acquire() as connection:
            if await locks.opened(connection) == (state.epoch, state.run_id):
                periods, position = await counted_periods(connection, self._clock.now()), _FIRST
                while some := await totals.page(connection, periods, position, AT_ONCE):
                    settled = await self._counters.amounts([f"cost:{counter_suffix(*one.counter)}" for one in some])
                    for total, nano in zip(some, settled, strict=True):
                        if drift := _drift(total, nano):
                            off[total.counter] = (total.version, nano)
                            if self._off.get(total.counter) == off[total.counter]:
                                found.append(Adrift(total.counter, drift))
                    position = some[-1].counter
        self._off = off
        return sorted(found, key=lambda one: -abs(one.nano))


def _drift(total: Total, nano: int) -> int:
    """Nano-USD by which Redis is ahead of the books (negative: behind); 0 within what rounding explains."""
    booked = nano_ceiling(total.counted.settled)
    drift = nano - booked
    return drift if abs(drift) > _ROUNDED_NANO + abs(booked) // _ROUNDED_SHARE else 0
