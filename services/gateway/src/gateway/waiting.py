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
        await _publish_all(parked, recorder)
        await asyncio.gather(*[line.ask("LREM", GATEWAY_LOGS_KEY, 1, event) for event in parked])
        drained += len(parked)
    if drained:
        log.info("parked_events_published", events=drained)
    return drained


async def drain_journal(journal: Journal, recorder: Recorder) -> int:
    """Publish what the journal holds; 0 when the bus is still away."""
    if not journal.has_events():
        return 0
    try:
        drained = await journal.drain(recorder.publish_waiting)
    except NotStored:
        return 0
    log.info("journal_published", events=drained)
    return drained


async def _publish_all(events: list[bytes], recorder: Recorder) -> None:
    outcomes = await asyncio.gather(*[recorder.publish_waiting(event) for event in events], return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
