"""The composition root: settings → connections → mirrors → limits → pipeline → app. Reads top to bottom."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from common.bus.connect import connect
from common.bus.mirror import Mirror
from common.clock import Clock, SystemClock
from common.contracts.topology import (
    BUDGETS_BUCKET,
    CATALOG_BUCKET,
    CREDENTIALS_BUCKET,
    KEYS_BUCKET,
    SESSIONS_BUCKET,
    USAGE,
)
from common.http.serve import serve
from common.http.sessions import Sessions
from common.settings import read_or_exit
from common.tasks import Tasks
from common.telemetry.logs import configure_logs
from common.telemetry.traces import configure_traces

from gateway.api.app import App
from gateway.api.client import Receive, Scope, Send
from gateway.api.doors import Doors, Plans
from gateway.api.protocol import ClientProtocol
from gateway.api.responses_door import ResponsesDoor
from gateway.asides import Asides
from gateway.cache.sealed import SealedCache
from gateway.cache.stored import StoredResponses
from gateway.cached_calls import CachedCalls
from gateway.callog import CallLogWriter
from gateway.counts import Counts
from gateway.edge import Edge
from gateway.idempotency.claims import Claims
from gateway.idempotency.once import Once
from gateway.journal import Journal
from gateway.leases import Leases
from gateway.limits.limiter import Limiter, load_commands, read_scripts
from gateway.limits.redis import RedisAway, RedisLine
from gateway.limits.terms import TermsBook
from gateway.limits.tokenizers import Tokenizers
from gateway.metering import Recorder
from gateway.mirrors.beginning import FirstCatalog
from gateway.mirrors.budgets import Budgets
from gateway.mirrors.catalog import Catalog
from gateway.mirrors.credentials import Credentials
from gateway.mirrors.keys import Keys
from gateway.patience import Patience
from gateway.pipeline import Pipeline
from gateway.publisher import Publisher
from gateway.reaper import Reaper
from gateway.routing.health import Health
from gateway.routing.personal import PersonalPlans
from gateway.routing.plan import Planner
from gateway.settings import GatewaySettings
from gateway.stored_responses import Conversations
from gateway.upstream.client import ClientLimits, Deadlines, UpstreamClient
from gateway.upstream.google import GoogleTokens
from gateway.upstream.guard import guarded
from gateway.upstream.keyvault import KeyvaultDoor
from gateway.waiting import bring_back, drain_journal

log = structlog.get_logger()

_SOURCE = "/gateway"
_CONNECT_SECONDS = 10.0
_LAST_DRAIN_SECONDS = 5.0
_GC_THRESHOLD = 100_000  # 64 calls at once are some 20,000 objects, and their coming and going must not set it off


@asynccontextmanager
async def open_gateway(settings: GatewaySettings, clock: Clock) -> AsyncIterator[App]:
    """Connect, follow, and put the gateway together; at the end drain what is still waiting."""
    traces = configure_traces("gateway", settings.otlp_endpoint, settings.trace_ratio)
    tasks = Tasks()
    bus = await connect(settings.nats_url, "gateway")
    upstream = UpstreamClient(ClientLimits(), resolve=guarded(settings.url_rules))
    internal = UpstreamClient(ClientLimits(max_connections=64))
    scripts = read_scripts()
    redis = RedisLine(settings.redis, settings.redis_timeout, load_commands(scripts))
    cache_redis = RedisLine(settings.cache_redis_url, settings.redis_timeout) if settings.cache_redis_url else None
    cache, claims = SealedCache(cache_redis, settings.token), Claims(redis)

    keys, budgets, catalog, sessions = Keys(), Budgets(), Catalog(), Sessions()
    google = GoogleTokens(upstream, settings.simulator_url, clock)
    credentials = Credentials(KeyvaultDoor(internal, settings.keyvault_url, settings.token).open, google.exchange)
    mirrors = {
        KEYS_BUCKET.name: Mirror(bus, KEYS_BUCKET.name, keys.apply, reread_seconds=settings.reload_interval),
        BUDGETS_BUCKET.name: Mirror(bus, BUDGETS_BUCKET.name, budgets.apply, reread_seconds=settings.reload_interval),
        CATALOG_BUCKET.name: Mirror(bus, CATALOG_BUCKET.name, catalog.apply, reread_seconds=settings.reload_interval),
        CREDENTIALS_BUCKET.name: Mirror(
            bus, CREDENTIALS_BUCKET.name, credentials.apply, reread_seconds=settings.reload_interval
        ),
        SESSIONS_BUCKET.name: Mirror(
            bus, SESSIONS_BUCKET.name, sessions.apply, reread_seconds=settings.reload_interval
        ),
    }

    limiter = Limiter(redis, scripts, clock)
    leases = Leases(limiter)
    publisher = Publisher(settings.nats_url, "gateway", USAGE.name)
    journal = Journal(settings.journal_dir, settings.journal_max_bytes)
    recorder = Recorder(publisher, limiter, journal)
    health, tokenizers = Health(clock.monotonic), Tokenizers()
    pipeline = Pipeline(
        limiter=limiter,
        leases=leases,
        recorder=recorder,
        upstream=upstream,
        deadlines=Deadlines(
            connect_seconds=settings.connect_timeout,
            first_byte_seconds=settings.request_timeout,
            between_chunks_seconds=settings.request_timeout,
            total_seconds=settings.total_timeout,
        ),
        clock=clock,
        source=_SOURCE,
        max_answer_bytes=settings.max_answer_bytes,
        openai_codes=settings.error_codes == "openai",
        health=health,
        tokenizers=tokenizers,
    )
    cached = CachedCalls(pipeline, cache, clock)
    asides = Asides(upstream, pipeline.deadlines, clock, settings.max_answer_bytes)
    reaper = Reaper(limiter, recorder, catalog, clock, _SOURCE)
    writer = CallLogWriter()
    counts = Counts(
        {
            "held_leases": lambda: len(leases),
            "holds_written_again": lambda: leases.held_again,
            "unsettled": lambda: leases.unsettled,
            "parked_events": lambda: recorder.parked,
            "journaled_events": lambda: recorder.journaled,
            "counted_calls": lambda: tokenizers.counted,
            "reaped_calls": lambda: reaper.reaped,
            "keys": lambda: len(keys),
            "budgets": lambda: len(budgets),
            "overrun_calls": lambda: writer.overruns,
            "unreadable_snapshots": lambda: sum(mirror.unreadable for mirror in mirrors.values()),
            "upstream_connections": lambda: upstream.stats().open,
            "dropped_log_lines": lambda: writer.dropped,
            "claimed_idempotency_keys": lambda: len(claims),
        }
    )

    async def is_redis_up() -> bool:
        return redis.connected.is_set()

    async def is_admission_open() -> bool:
        try:
            return bool((await limiter.renew([])).epoch)
        except RedisAway:
            return False

    async def has_credentials() -> bool:
        return mirrors[CREDENTIALS_BUCKET.name].ready.is_set() and credentials.has_begun()

    async def has_mirrors() -> bool:
        return all(mirror.ready.is_set() for mirror in mirrors.values())

    planner = Planner(catalog, credentials, settings.simulator_url)
    patience = Patience(clock)
    doors = Doors(
        keys=keys,
        terms=TermsBook(keys, budgets),
        plans=Plans(planner, settings.cache_model_size, settings.cache_model_ttl),
        personal=PersonalPlans(planner, credentials.own),
        calls=cached,
        asides=asides,
        health=health,
        patience=patience,
        recorder=recorder,
        counts=counts,
        writer=writer,
        clock=clock,
        source=_SOURCE,
        max_body_bytes=settings.max_body_bytes,
    )
    app = App(
        doors=doors,
        responses=ResponsesDoor(
            doors,
            Conversations(StoredResponses(cache), settings.max_body_bytes),
            asides,
            openai_codes=settings.error_codes == "openai",
        ),
        edge=Edge(
            internal,
            {
                "keyvault": settings.keyvault_url,
                "catalog-sync": settings.catalog_sync_url,
                "billing": settings.billing_url,
                "analytics": settings.analytics_url,
            },
            mirrors,
            sessions,
        ),
        once=Once(claims, cache),
        standings=health,
        counts=counts,
        checks={
            "redis": is_redis_up,
            "admission": is_admission_open,
            "mirrors": has_mirrors,
            "catalog": FirstCatalog(catalog, clock).is_here,
            "credentials": has_credentials,
        },
        cors_origins=frozenset(
            origin.strip().encode() for origin in settings.cors_origins.split(",") if origin.strip()
        ),
        max_running=settings.max_running,
        openai_codes=settings.error_codes == "openai",
    )

    tasks.start("publishing", publisher.line.run())
    async with asyncio.timeout(_CONNECT_SECONDS):
        await publisher.line.connected.wait()
    tasks.start("redis", redis.run())
    if cache_redis is not None:
        tasks.start("cache redis", cache_redis.run())
    tasks.start("claims", claims.run())
    for name, mirror in mirrors.items():
        tasks.start(f"mirror {name}", mirror.run())
    tasks.start("credentials", credentials.run())
    tasks.start("leases", leases.run())
    tasks.start("reaper", reaper.run())
    tasks.start("patience", patience.run())
    tasks.start("waiting", bring_back(redis, journal, recorder, limiter))
    try:
        yield app
    finally:
        await pipeline.finishing.drain()
        try:
            async with asyncio.timeout(_LAST_DRAIN_SECONDS):
                await drain_journal(journal, recorder)
        except TimeoutError:
            log.warning("journal_kept")
        await tasks.cancel()
        await upstream.close()
        await internal.close()
        await bus.close()
        writer.flush()
        if traces is not None:
            traces.shutdown()


class Gateway:
    """The ASGI application: the app, opened and closed by the server's lifespan."""

    def __init__(self, settings: GatewaySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            opened = open_gateway(self._settings, self._clock)
            self._app = await opened.__aenter__()
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the start has failed and the log says why
            log.critical("start_failed", error=f"{type(error).__name__}: {error}")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        _spare_the_collector()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await opened.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


def _spare_the_collector() -> None:
    """What is here now stays: the cycle collector need not look at it again, nor look so often. Calls make no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 50, 50)


def create_app(settings: GatewaySettings, clock: Clock | None = None) -> Gateway:
    """The application, for uvicorn with `ClientProtocol`."""
    return Gateway(settings, clock or SystemClock())


def run() -> None:
    """Run the gateway from its environment."""
    settings = read_or_exit(GatewaySettings)
    configure_logs("gateway", settings.log_level)
    serve(
        create_app(settings),
        host=settings.http_host,
        port=settings.http_port,
        grace_seconds=settings.drain_seconds,
        timeout_keep_alive=settings.keep_alive_seconds,
        lifespan="on",
        http=ClientProtocol,
    )
