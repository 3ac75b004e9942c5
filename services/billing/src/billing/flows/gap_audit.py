"""No gaps: every event of the stream that billing has acknowledged is booked, or lies in the DLQ.

The stream is read along once, its headers alone, behind the consumer's own acknowledgements; what is missing is noted and
stays a violation until it is booked (a replay, a repaired stream).
"""

from __future__ import annotations

import structlog
from common.clock import Clock
from common.postgres.pool import Pool
from nats.js import JetStreamContext

from billing.store import gaps

log = structlog.get_logger()

AT_ONCE = 20_000
"""Events that one look compares."""


class GapAudit:
    """Compares the stream with the books."""

    def __init__(self, pool: Pool, jetstream: JetStreamContext, clock: Clock) -> None:
        self._pool = pool
        self._jetstream = jetstream
        self._clock = clock

    async def look(self) -> int:
        """Compare the next events; how many of all compared so far are missing."""
        until = await gaps.acknowledged_up_to(self._jetstream)
        async with self._pool.acquire() as connection:
            position = await gaps.audited_up_to(connection)
            if position < until:
                told = await gaps.told_from(self._jetstream, position + 1, AT_ONCE)
                settled = [one for one in told if one.sequence <= until]
                missing = await gaps.unbooked(connection, settled)
                if missing:
                    dead = await gaps.dead_sequences(self._jetstream)
                    missing = [one for one in missing if one.sequence not in dead]
                if missing:
                    log.error("events_missing", count=len(missing), first=missing[0].sequence)
                reached = settled[-1].sequence if len(told) == AT_ONCE and settled else until
                await gaps.note(connection, reached, missing, self._clock.now())
            return await gaps.forget_booked(connection)
