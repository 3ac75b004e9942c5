"""What every database service stands on: pool, bus, outbox relay, sessions, consumers, all opened and closed in order.

A service's `main` opens a backbone in its lifespan, hangs its flows and consumers on it, and starts them. Closing goes
backwards: consumers first, then the relay (so that what was committed is told), then the connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from faststream.nats import NatsBroker
from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry

from common.bus.connect import Bus, connect
from common.bus.consume import BatchConsumer, ConsumerMetrics, Handle, start_broker
from common.bus.mirror import Mirror
from common.contracts.privileges import inbox_of
from common.contracts.topology import SESSIONS_BUCKET, USAGE, consumer_of
from common.http.app import Check
from common.http.sessions import Sessions
from common.outages import AWAY
from common.postgres.outbox import Relay
from common.postgres.pool import Pool, open_pool
from common.settings import DatabaseServiceSettings
from common.tasks import Tasks
from common.telemetry.traces import configure_traces

log = structlog.get_logger()

_CLOSE_SECONDS = 5.0
_CLOSING_ERRORS = (*AWAY, EOFError, NatsError)


@dataclass(frozen=True, slots=True)
class Backbone:
    """The open connections and running tasks of one service."""

    name: str
    pool: Pool
    bus: Bus
    relay: Relay
    sessions: Sessions
    broker: NatsBroker
    tasks: Tasks
    consumer_metrics: ConsumerMetrics
    _session_mirror: Mirror

    def consume_usage(self, handle: Handle) -> None:
        """Have usage events handled in batches; call before `start`."""
        self.consume(USAGE.name, handle)

    def consume(self, stream: str, handle: Handle) -> None:
        """Have the events of a stream handled in batches, as the table of the bus says; call before `start`."""
        BatchConsumer(consumer_of(self.name, stream), handle, self.consumer_metrics, self.bus).subscribe(self.broker)

    async def start(self, app: FastAPI) -> None:
        """Start consuming, relaying and following; from now on the service may become ready."""
        self.tasks.start("sessions", self._session_mirror.run())
        self.tasks.start("relay", self.relay.run())
        await start_broker(self.broker)
        app.state.sessions = self.sessions
        app.state.checks = self.checks()

    def checks(self) -> dict[str, Check]:
        """What must hold for the service to be ready."""

        async def postgres() -> bool:
            try:
                return bool(await self.pool.fetchval("SELECT true", timeout=2))
            except AWAY:
                return False

        async def nats() -> bool:
            return self.bus.client.is_connected

        async def sessions() -> bool:
            return self._session_mirror.ready.is_set()

        return {"postgres": postgres, "nats": nats, "sessions": sessions}


@asynccontextmanager
async def open_backbone(
    name: str, database_url: str, settings: DatabaseServiceSettings, registry: CollectorRegistry
) -> AsyncIterator[Backbone]:
    """Connect to everything; raises what the first unreachable server raises."""
    traces = configure_traces(name, settings.otlp_endpoint, settings.trace_ratio)
    pool = await open_pool(database_url, max_size=settings.db_max_open_conns, application=name)
    try:
        bus = await connect(settings.nats_url, name)
    except BaseException:
        await pool.close()
        raise
    sessions, tasks = Sessions(), Tasks()
    broker = NatsBroker(
        settings.nats_url,
        inbox_prefix=inbox_of(name),
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        logger=structlog.get_logger("consumer"),
        log_level=logging.DEBUG,  # it tells of every batch
    )
    mirror = Mirror(bus, SESSIONS_BUCKET.name, sessions.apply)
    relay = Relay(pool, bus.jetstream)
    try:
        yield Backbone(name, pool, bus, relay, sessions, broker, tasks, ConsumerMetrics(registry), mirror)
    finally:
        await _within_bound("broker", broker.stop())
        await tasks.cancel()
        await _within_bound("bus", bus.close())
        await _within_bound("pool", pool.close())
        if traces is not None:
            traces.shutdown()


async def _within_bound(what: str, closing: Awaitable[None]) -> None:
    """Close something; what hangs or fails is named in the log and left, so that the rest is closed and all ends."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await closing
    except _CLOSING_ERRORS as error:
        log.error("close_failed", what=what, error=type(error).__name__)
