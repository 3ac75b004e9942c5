"""What waits for any gateway: events that wait for the bus, in Redis and in the local journal; and settlements that
billing asks for again.

Any gateway drains what any gateway parked. An entry is taken out of Redis only after it was dealt with, by value, so that
two drainers at once publish or settle twice (of which the second changes nothing) rather than lose one.
"""

from __future__ import annotations

import asyncio

import structlog
from common.contracts.resettlements import Resettlement
from common.contracts.topology import GATEWAY_LOGS_KEY, SETTLE_AGAIN_KEY

from gateway.journal import Journal
from gateway.limits.limiter import Limiter
from gateway.limits.redis import RedisAway, RedisLine, RedisRefused
from gateway.metering import Recorder
from gateway.publisher import NotStored

log = structlog.get_logger()

_EVERY_SECONDS = 0.5
_AT_ONCE = 200


async def bring_back(line: RedisLine, journal: Journal, recorder: Recorder, limiter: Limiter) -> None:
    """Bring waiting events to the bus, and settle what is to be settled again, until cancelled."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            await drain_redis(line, recorder)
        except (RedisAway, RedisRefused, NotStored):
            log.debug("parked_events_wait")
        try:
            await settle_again(line, limiter)
        except (RedisAway, RedisRefused):
            log.debug("resettlements_wait")
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


async def settle_again(line: RedisLine, limiter: Limiter) -> int:
    """Make the settlements that billing asks for; how many. What is none is told and passed over. Raises RedisAway."""
    settled = 0
    while asked := await line.ask("LRANGE", SETTLE_AGAIN_KEY, 0, _AT_ONCE - 1):
        await asyncio.gather(*[_settle(entry, limiter) for entry in asked])
        await asyncio.gather(*[line.ask("LREM", SETTLE_AGAIN_KEY, 1, entry) for entry in asked])
        settled += len(asked)
    return settled


async def _settle(entry: bytes, limiter: Limiter) -> None:
    try:
        wanted = Resettlement.model_validate_json(entry)
    except ValueError:
        log.critical("resettlement_unreadable", size=len(entry))
        return
    became = await limiter.settle(
        wanted.request_id, wanted.attempt, wanted.cost_nano, wanted.tokens, "final", wanted.epoch
    )
    log.info("settled_again", request_id=wanted.request_id, attempt=wanted.attempt, became=became)


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
