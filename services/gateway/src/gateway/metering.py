"""From a finished call to its one event, and the event to where it is safe.

`encode_usage` is pure: it writes the `usage.recorded` event of a call. `Recorder` makes an event durable before anybody
hears that the call is complete: acknowledged by JetStream, else parked in Redis, else in the synced local journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
import structlog
from common.clock import rfc3339
from common.contracts.envelope import event_headers
from common.contracts.usage import USAGE_RECORDED, USAGE_REJECTED, recorded_subject, rejected_subject
from common.ids import UsageKind, usage_event_id
from common.money import plain
from common.pricing import Price
from common.usage import NOTHING, Usage

from gateway.journal import Journal, JournalFull
from gateway.limits.limiter import Limiter
from gateway.limits.redis import RedisAway
from gateway.publisher import NotStored, Publisher

log = structlog.get_logger()

_ACK_SECONDS = 1.0
_DRAIN_ACK_SECONDS = 5.0
_MOST_PARKED = 100_000
_MAX_ERROR = 512
_ZERO = Decimal(0)


class NowhereToStore(Exception):
    """NATS, Redis and the journal all refused an event."""


class AttemptLog(msgspec.Struct):
    """What one attempt did; filled in while it runs. Amounts are US dollars; `overrun` is the part of `operator_cost` that
    passed what was held. `budgets` are the counters of its hold."""

    number: int
    provider_type: str
    provider_id: str
    model: str
    credential_id: str
    price: Price
    held_nano: int
    budgets: tuple[str, ...]
    epoch: str
    status: str = "failed"
    http_status: int | None = None
    error: tuple[str, str] | None = None
    latency_ms: int = 0
    usage: Usage | None = None
    raw_usage: dict[str, Any] | None = None
    cost: Decimal = _ZERO
    operator_cost: Decimal = _ZERO
    overrun: Decimal = _ZERO
    finish_reason: str | None = None
    service_tier: str | None = None
    is_own: bool = False
    """By the caller's own credential: it costs its list price, which the caller owes the provider and not us."""

    @property
    def credential(self) -> str:
        """Whose credential it was called with."""
        return "byok" if self.is_own else "system"


class Earlier(msgspec.Struct):
    """An attempt that failed before the one that holds: what is kept of it with that hold, since its cost is settled and
    its event is still to come. Amounts are decimal strings."""

    number: int
    provider_type: str
    provider_id: str
    model: str
    credential_id: str
    budgets: tuple[str, ...]
    epoch: str
    http_status: int | None
    error: tuple[str, str] | None
    latency_ms: int
    usage: Usage | None
    cost: str
    operator_cost: str
    is_own: bool

    def as_log(self, price: Price) -> AttemptLog:
        """As it was; of its price nothing is told."""
        return AttemptLog(
            number=self.number,
            provider_type=self.provider_type,
            provider_id=self.provider_id,
            model=self.model,
            credential_id=self.credential_id,
            price=price,
            held_nano=0,
            budgets=self.budgets,
            epoch=self.epoch,
            http_status=self.http_status,
            error=self.error,
            latency_ms=self.latency_ms,
            usage=self.usage,
            cost=Decimal(self.cost),
            operator_cost=Decimal(self.operator_cost),
            is_own=self.is_own,
        )


def earlier_of(attempt: AttemptLog) -> Earlier:
    """What is kept of a failed attempt with the hold of the next."""
    used = attempt.usage
    return Earlier(
        number=attempt.number,
        provider_type=attempt.provider_type,
        provider_id=attempt.provider_id,
        model=attempt.model,
        credential_id=attempt.credential_id,
        budgets=tuple(attempt.budgets),
        epoch=attempt.epoch,
        http_status=attempt.http_status,
        error=attempt.error,
        latency_ms=attempt.latency_ms,
        usage=msgspec.structs.replace(used, units=dict(used.units)) if used is not None else None,
        cost=plain(attempt.cost),
        operator_cost=plain(attempt.operator_cost),
        is_own=attempt.is_own,
    )


class CallLog(msgspec.Struct):
    """What is known of a call, from its admission to its end."""

    request_id: str
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
    source: str = "api"
    period: str = ""
    epoch: str = ""
    status: str = "failed"
    http_status: int = 0
    ttft_ms: int | None = None
    latency_ms: int = 0
    decision: dict[str, Any] | None = None
    dropped_params: tuple[str, ...] = ()
    cache: Literal["off", "miss", "hit"] = "off"


def encode_usage(call: CallLog, attempts: Sequence[AttemptLog], kind: UsageKind, source: str) -> tuple[str, str, bytes]:
    """The event of a call as (id, subject, JSON). The last attempt is the one that answered, or that failed last."""
    last = attempts[-1]
    used = (last.usage or NOTHING).as_event()
    event_id = usage_event_id(call.request_id, kind)
    started_at = rfc3339(call.started_at)
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": USAGE_RECORDED,
        "subject": call.request_id,
        "time": started_at,
        "datacontenttype": "application/json",
        "data": {
            "kind": kind,
            "request_id": call.request_id,
            "trace_id": call.trace_id,
            "api_key_id": call.api_key_id,
            "user_id": call.user_id,
            "team_id": call.team_id,
            "tier": call.tier,
            "source": call.source,
            "operation": call.operation,
            "requested_model": call.requested_model,
            "alias": call.alias,
            "provider_type": last.provider_type,
            "provider_id": last.provider_id,
            "model": last.model,
            "credential": last.credential,
            "credential_id": last.credential_id or None,
            "billable": not last.is_own,
            "streamed": call.streamed,
            "status": call.status,
            "http_status": call.http_status,
            "error": _error(last),
            "finish_reason": last.finish_reason,
            "usage": used,
            "raw_usage": last.raw_usage,
            "price": last.price.as_event,
            "cost_usd": _total([attempt.cost for attempt in attempts if attempt.is_own == last.is_own]),
            "operator_cost_usd": _total([attempt.operator_cost for attempt in attempts]),
            "budgets": _budgets(attempts),
            "epoch": call.epoch or None,
            "period": call.period,
            "started_at": started_at,
            "latency_ms": call.latency_ms,
            "ttft_ms": call.ttft_ms,
            "attempts": []
            if call.cache == "hit"  # nobody was asked
            else [_attempt(attempt, used if attempt is last else None) for attempt in attempts],
            "cache": call.cache,
            "dropped_params": call.dropped_params,
            "decision": call.decision,
            "simulated": call.simulated,
            "tags": call.tags,
            "content_ref": None,
        },
    }
    return event_id, recorded_subject(last.provider_type, call.api_key_id), msgspec.json.encode(body)


def encode_rejected(
    event_id: str,
    request_id: str,
    api_key_id: str | None,
    reason: str,
    status: int,
    model: str | None,
    at: datetime,
    source: str,
) -> tuple[str, bytes]:
    """The event of a refused call as (subject, JSON)."""
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": USAGE_REJECTED,
        "subject": request_id,
        "time": rfc3339(at),
        "datacontenttype": "application/json",
        "data": {
            "request_id": request_id,
            "api_key_id": api_key_id,
            "reason": reason,
            "http_status": status,
            "requested_model": model[:256] if model else None,
            "sampled_one_in": 1,
        },
    }
    return rejected_subject(reason), msgspec.json.encode(body)


class Recorder:
    """Keeps events safe, and brings those that had to wait to the bus once it is back."""

    def __init__(self, publisher: Publisher, limiter: Limiter, journal: Journal) -> None:
        self._publisher = publisher
        self._limiter = limiter
        self._journal = journal
        self._offered: set[asyncio.Task[None]] = set()
        self.parked = 0
        self.journaled = 0

    async def make_safe(self, event_id: str, subject: str, body: bytes) -> None:
        """Return once an event is durable somewhere. Raises NowhereToStore."""
        try:
            await self._publisher.publish(subject, body, event_headers(event_id), _ACK_SECONDS)
        except NotStored as error:
            await self._keep_elsewhere(event_id, subject, body, str(error))

    def offer(self, event_id: str, subject: str, body: bytes) -> None:
        """Publish an event that may be lost (a refusal), without waiting."""
        task = asyncio.create_task(self._offer(event_id, subject, body))
        self._offered.add(task)
        task.add_done_callback(self._offered.discard)

    async def _offer(self, event_id: str, subject: str, body: bytes) -> None:
        try:
            await self._publisher.publish(subject, body, event_headers(event_id), _ACK_SECONDS)
        except NotStored:
            log.debug("rejection_not_published")

    async def publish_waiting(self, waiting: bytes) -> None:
        """Publish one event that was parked or journaled; what is none is told and passed over. Raises NotStored."""
        try:
            kept = msgspec.json.decode(waiting, type=_Kept)
        except ValueError:
            log.critical("waiting_event_unreadable", size=len(waiting))
            return
        await self._publisher.publish(kept.subject, bytes(kept.event), event_headers(kept.id), _DRAIN_ACK_SECONDS)

    async def _keep_elsewhere(self, event_id: str, subject: str, body: bytes, why: str) -> None:
        waiting = msgspec.json.encode(_Kept(event_id, subject, msgspec.Raw(body)))
        try:
            if await self._limiter.park(waiting, _MOST_PARKED):
                self.parked += 1
                log.warning("event_parked", event_id=event_id, why=why)
                return
        except RedisAway:
            pass
        try:
            await self._journal.append(waiting)
        except JournalFull as error:
            log.critical("event_nowhere_to_store", event_id=event_id, error=str(error))
            raise NowhereToStore(str(error)) from error
        self.journaled += 1
        log.warning("event_journaled", event_id=event_id, why=why)


class _Kept(msgspec.Struct):
    id: str
    subject: str
    event: msgspec.Raw


def _budgets(attempts: Sequence[AttemptLog]) -> Sequence[str]:
    """The counters that the attempts' settlements add to."""
    last = attempts[-1]
    if len(attempts) == 1:
        return last.budgets
    return list(dict.fromkeys(name for one in attempts if one.cost or one is last for name in one.budgets))


def _total(amounts: Sequence[Decimal]) -> str:
    return plain(sum(amounts[1:], amounts[0]))


def _attempt(attempt: AttemptLog, used: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "provider": attempt.provider_type,
        "provider_id": attempt.provider_id,
        "model": attempt.model,
        "status": attempt.status,
        "http_status": attempt.http_status,
        "error": _error(attempt),
        "latency_ms": attempt.latency_ms,
        "usage": (used or attempt.usage.as_event()) if attempt.usage is not None else None,
        "cost_usd": plain(attempt.cost),
        "unbilled_usd": plain(attempt.operator_cost),
        "credential": attempt.credential,
        "credential_id": attempt.credential_id or None,
        "service_tier": attempt.service_tier,
    }


def _error(attempt: AttemptLog) -> dict[str, str] | None:
    if attempt.error is None:
        return None
    return {"reason": attempt.error[0], "message": attempt.error[1][:_MAX_ERROR]}
