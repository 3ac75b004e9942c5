"""Events that had to wait for the bus: from Redis and the local journal back to JetStream, as soon as it takes them.

Any gateway drains what any gateway parked. An event is taken out of Redis only after JetStream has acknowledged it, by
value, so that two drainers at once publish twice (the id drops the second) rather than lose one.
"""

from __future__ import annotations

import asyncio

import structlog
from common.contracts.topology import GATEWAY_LOGS_KEY

from gateway.journal import Journal
from gateway.limits.redis import RedisAway, RedisLine, RedisRefused
from gateway.metering import Recorder
from gateway.publisher import NotStored

log = structlog.get_logger()

_EVERY_SECONDS = 0.5
_AT_ONCE = 200


async def bring_back(line: RedisLine, journal: Journal, recorder: Recorder) -> None:
    """Bring waiting events to the bus until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            await drain_redis(line, recorder)
        except (RedisAway, RedisRefused, NotStored):
            log.debug("parked_events_wait")
        await drain_journal(journal, recorder)


async def drain_redis(line: RedisLine, recorder: Recorder) -> int:
    """Publish what is parked; how many. Raises NotStored or RedisAway when one of the two is away."""
    drained = 0
    while parked := await line.ask("LRANGE", GATEWAY_LOGS_KEY, 0, _AT_ONCE - 1):
        outcomes = await asyncio.gather(*map(recorder.publish_waiting, parked), return_exceptions=True)
        through = [event for event, outcome in zip(parked, outcomes, strict=True) if outcome is None]
        await asyncio.gather(*[line.ask("LREM", GATEWAY_LOGS_KEY, 1, event) for event in through])
        drained += len(through)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
    if drained:
        log.info("parked_events_published", events=drained)
    return drained


async def drain_journal(journal: Journal, recorder: Recorder) -> int:
    """Publish what the journal holds; 0 when the bus is still away, or the files cannot be read."""
    try:
        if not journal.has_events():
            return 0
        drained = await journal.drain(recorder.publish_waiting)
    except NotStored:
        return 0
    except OSError as error:
        log.error("journal_unreadable", error=error.strerror)
        return 0
    if drained:
        log.info("journal_published", events=drained)
    return drained
