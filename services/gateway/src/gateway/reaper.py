"""Calls whose gateway died: found by the lease that nobody renews, told as `estimated`, and settled.

A hold is the durable intent of a call. Every gateway reaps; a claim hides a hold from the others for a while. The caller
is charged for what is known to have been delivered (the dead gateway noted it with each renewal); what the provider may
have charged beyond that is the operator's. Should the call's own gateway come after all, its final event counts instead.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal

import msgspec
import structlog
from common.clock import Clock
from common.money import NANO, nano_ceiling
from common.pricing import FALLBACK, cost
from common.usage import NOTHING, Usage

from gateway.charging import epoch_of
from gateway.limits.limiter import Abandoned, Limiter
from gateway.limits.redis import RedisAway
from gateway.metering import AttemptLog, CallLog, Earlier, NowhereToStore, Recorder, encode_usage
from gateway.mirrors.catalog import Catalog

log = structlog.get_logger()

_EVERY_SECONDS = 5.0
_AT_ONCE = 50
_HIDDEN_SECONDS = 30.0


class _Call(msgspec.Struct):
    """What `pipeline` left with the hold."""

    trace_id: str | None
    api_key_id: str
    user_id: str | None
    team_id: str | None
    tier: str | None
    operation: str
    requested_model: str
    alias: str | None
    streamed: bool
    started_at: datetime
    simulated: bool
    tags: dict[str, str]
    provider_type: str
    provider_id: str
    model_id: str
    model: str
    credential_id: str
    input_tokens: int
    is_own: bool = False
    earlier: tuple[Earlier, ...] = ()


class Reaper:
    """Looks for abandoned holds. `run` is a task."""

    def __init__(self, limiter: Limiter, recorder: Recorder, catalog: Catalog, clock: Clock, source: str) -> None:
        self._limiter = limiter
        self._recorder = recorder
        self._catalog = catalog
        self._clock = clock
        self._source = source
        self.reaped = 0

    async def run(self) -> None:
        """Reap until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.reap()
            except (RedisAway, NowhereToStore) as error:
                log.warning("reaper_waits", error=type(error).__name__)

    async def reap(self) -> int:
        """Tell of and settle what is abandoned now; how many calls that were."""
        abandoned = await self._limiter.reap(_AT_ONCE, _HIDDEN_SECONDS)
        for hold in abandoned:
            await self._tell(hold)
        self.reaped += len(abandoned)
        return len(abandoned)

    async def _tell(self, hold: Abandoned) -> None:
        try:
            call = msgspec.json.decode(hold.call, type=_Call)
        except ValueError:  # it stays counted, and is looked at again after a while
            log.critical("hold_unreadable", request_id=hold.request_id, attempt=hold.attempt)
            return
        attempt = self._attempt(hold, call)
        attempts = [*(earlier.as_log(attempt.price) for earlier in call.earlier), attempt]
        epoch = epoch_of(attempts)
        told = encode_usage(_log_of(hold, call, epoch), attempts, "estimated", self._source)
        await self._recorder.make_safe(*told)
        await self._limiter.settle(
            hold.request_id,
            hold.attempt,
            0 if attempt.is_own else nano_ceiling(attempt.cost),
            (attempt.usage or NOTHING).total_tokens,
            "estimated",
            epoch,
        )
        log.warning("call_reaped", request_id=hold.request_id, attempt=hold.attempt, delivered=hold.delivered_tokens)

    def _attempt(self, hold: Abandoned, call: _Call) -> AttemptLog:
        model = self._catalog.model(call.provider_type, call.model)
        attempt = AttemptLog(
            number=hold.attempt,
            provider_type=call.provider_type,
            provider_id=call.provider_id,
            model=call.model,
            credential_id=call.credential_id,
            price=model.price_at(call.started_at) if model is not None else FALLBACK,
            held_nano=hold.held_nano,
            budgets=() if call.is_own else hold.counters,
            epoch=hold.epoch,
            is_own=call.is_own,
            error=("gateway_lost", "the gateway that served this call was lost"),
            usage=Usage(input_tokens=call.input_tokens, output_tokens=max(0, hold.delivered_tokens), estimated=True),
        )
        if attempt.is_own:
            attempt.cost = cost(attempt.usage or NOTHING, attempt.price) if hold.delivered_tokens > 0 else Decimal(0)
            return attempt
        likely = min(cost(attempt.usage or NOTHING, attempt.price), Decimal(hold.held_nano) / NANO)
        if hold.delivered_tokens > 0:
            attempt.cost = likely
        else:
            attempt.operator_cost = likely
        return attempt


def _log_of(hold: Abandoned, call: _Call, epoch: str) -> CallLog:
    return CallLog(
        request_id=hold.request_id,
        trace_id=call.trace_id,
        api_key_id=call.api_key_id,
        user_id=call.user_id,
        team_id=call.team_id,
        tier=call.tier,
        operation=call.operation,
        requested_model=call.requested_model,
        alias=call.alias,
        streamed=call.streamed,
        started_at=call.started_at,
        simulated=call.simulated,
        tags=call.tags,
        period=hold.counters[0].rpartition(":")[2],
        epoch=epoch,
        status="failed",
        http_status=500,
    )
