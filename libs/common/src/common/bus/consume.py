"""Consuming events in batches: commit first, acknowledge after, and lose nothing.

A handler gets raw messages, decodes each, and commits them all in one transaction. Afterwards the batch is
acknowledged. What fails is told apart by whether time can cure it: a *deterministic* failure (an event that breaks its
contract or a
constraint) would fail for ever, so the batch is halved until the culprit is alone, which then goes whole to the DLQ
and is acknowledged; everything else is negatively acknowledged with a delay, without limit. A handler must therefore be
idempotent: it will see events again.

Brokers are started with `start_broker`. FastStream collects a batch with several fetches; an error it does not expect in
a later one (nats-py raises the plain TimeoutError, and the server refuses a fetch with next to no time left) ends its
task, and what was fetched already would wait for redelivery until `ack_wait` is over. So a fetch here ends in messages or
in the one error that FastStream knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.annotations import NatsMessage
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry, Counter, Histogram

from common.bus.connect import Bus
from common.contracts.envelope import MESSAGE_ID_HEADER
from common.contracts.privileges import inbox_of
from common.contracts.topology import Consumer
from common.outages import AWAY

log = structlog.get_logger()

_COLLECT_SECONDS = 0.1
_LEAST_FETCH_SECONDS = 0.005
_NAK_DELAY_SECONDS = 1.0
_DLQ_SECONDS = 5.0

DETERMINISTIC = (ValueError, asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
"""Failures that no retry cures (pydantic's ValidationError is a ValueError)."""


@dataclass(frozen=True, slots=True)
class Received:
    """One delivered event, not yet decoded."""

    subject: str
    body: bytes
    event_id: str
    sequence: int


Handle = Callable[[Sequence[Received]], Awaitable[None]]


async def start_broker(broker: NatsBroker) -> None:
    """Start a broker and have its batches fetched without loss, from the first fetch on: a subscriber fetches as soon as
    it is started, while the next one is starting."""
    await broker.connect()
    stream = broker.config.connection_state.stream
    subscribe = stream.pull_subscribe

    async def pull_subscribe(*given: Any, **named: Any) -> _Fetching:
        return _Fetching(await subscribe(*given, **named))

    stream.pull_subscribe = pull_subscribe
    await broker.start()


class _Fetching:
    """A pull subscription whose `fetch` fails in one way only."""

    def __init__(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:
        """Some messages; nats.errors.TimeoutError when there are none in time."""
        if timeout < _LEAST_FETCH_SECONDS:
            raise NatsTimeoutError
        try:
            return await self._subscription.fetch(batch, timeout)
        except TimeoutError as error:
            raise NatsTimeoutError from error
        except NatsError as error:
            log.warning("fetch_failed", error=type(error).__name__)
            await asyncio.sleep(timeout)
            raise NatsTimeoutError from error

    async def unsubscribe(self) -> None:
        """Stop receiving."""
        await self._subscription.unsubscribe()


class ConsumerMetrics:
    """How a consumer is doing; one instance a service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.handled = Counter("tollgate_consumed_events", "Events handled and acknowledged", registry=registry)
        self.delayed = Counter("tollgate_delayed_events", "Deliveries put back for later", registry=registry)
        self.dead = Counter("tollgate_dead_letters", "Events sent to the DLQ", registry=registry)
        self.batch_seconds = Histogram("tollgate_batch_seconds", "Seconds a batch takes", registry=registry)


class BatchConsumer:
    """Feeds one handler from one durable consumer; `subscribe` hangs it on a broker."""

    def __init__(self, row: Consumer, handle: Handle, metrics: ConsumerMetrics, bus: Bus) -> None:
        self._row = row
        self._handle = handle
        self._metrics = metrics
        self._bus = bus

    def subscribe(self, broker: NatsBroker) -> None:
        """Register with a broker that is not started yet; the durable must exist (`provision`)."""
        subscriber = broker.subscriber(
            subject=self._row.subjects[0],
            stream=JStream(self._row.stream, declare=False),
            durable=self._row.service,
            pull_sub=PullSub(batch_size=self._row.batch, timeout=_COLLECT_SECONDS, batch=True),
            ack_policy=AckPolicy.MANUAL,
            inbox_prefix=f"{inbox_of(self._row.service)}.".encode(),
            decoder=_undecoded,
            title=f"{self._row.service}:{self._row.stream}",
        )
        subscriber(self._on_batch)

    async def _on_batch(self, message: NatsMessage) -> None:
        raw = message.raw_message
        delivered: list[Msg] = list(raw) if isinstance(raw, list) else [raw]
        started = time.perf_counter()
        await self._settle(delivered)
        self._metrics.batch_seconds.observe(time.perf_counter() - started)

    async def _settle(self, delivered: list[Msg]) -> None:
        try:
            await self._handle([_received(msg) for msg in delivered])
        except DETERMINISTIC as error:
            await self._isolate(delivered, error)
        except Exception as error:
            log.warning("batch_delayed", size=len(delivered), error=type(error).__name__, exc_info=_is_bug(error))
            self._metrics.delayed.inc(len(delivered))
            for msg in delivered:
                await msg.nak(delay=_NAK_DELAY_SECONDS)
        else:
            for msg in delivered:
                await msg.ack()
            self._metrics.handled.inc(len(delivered))

    async def _isolate(self, delivered: list[Msg], error: Exception) -> None:
        if len(delivered) > 1:
            middle = len(delivered) // 2
            await self._settle(delivered[:middle])
            await self._settle(delivered[middle:])
            return
        [msg] = delivered
        if await self._bury(msg, error):
            await msg.ack()
            self._metrics.dead.inc()
        else:
            await msg.nak(delay=_NAK_DELAY_SECONDS)

    async def _bury(self, msg: Msg, error: Exception) -> bool:
        """Send a poison message whole to the DLQ; False when that could not be made durable."""
        received = _received(msg)
        headers = {
            MESSAGE_ID_HEADER: f"{self._row.service}/{received.event_id}",
            "Tollgate-Subject": received.subject,
            "Tollgate-Sequence": str(received.sequence),
            "Tollgate-Error": " ".join(f"{type(error).__name__}: {error}".split())[:500],
        }
        try:
            await self._bus.jetstream.publish(
                f"dlq.{self._row.service}", received.body, timeout=_DLQ_SECONDS, headers=headers
            )
        except (NatsError, TimeoutError, OSError) as failure:
            log.error("dlq_failed", error=type(failure).__name__)
            return False
        log.error("event_dead", event_id=received.event_id, subject=received.subject, error=type(error).__name__)
        return True


async def _undecoded(message: NatsMessage) -> bytes:
    return b""


def _is_bug(error: Exception) -> bool:
    return not isinstance(error, (*AWAY, NatsError))


def _received(msg: Msg) -> Received:
    headers = msg.headers or {}
    sequence = msg.metadata.sequence.stream
    return Received(
        subject=msg.subject,
        body=msg.data,
        event_id=headers.get(MESSAGE_ID_HEADER) or f"{msg.metadata.stream}-{sequence}",
        sequence=sequence,
    )
