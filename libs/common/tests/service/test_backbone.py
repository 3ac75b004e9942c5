"""The backbone: a service on it is ready when it can work, consumes, tells what it committed, and leaves nothing open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import httpx2
import pytest
from common.backbone import Backbone, open_backbone
from common.bus.consume import Received
from common.contracts.snapshots import KeySnapshot
from common.http.app import create_api
from common.postgres.outbox import add, snapshot
from common.settings import DatabaseServiceSettings
from common.testing.servers import TestDatabase
from fastapi import FastAPI
from nats.errors import ConnectionReconnectingError
from prometheus_client import CollectorRegistry

from .waiting import until

OUTBOX = (
    "CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " kind text NOT NULL, target text NOT NULL, key text NOT NULL, body bytea NOT NULL)"
)


class SmallService:
    """A service that stands on a backbone: it keeps the bodies of what it hears."""

    def __init__(self, database_url: str, nats_url: str) -> None:
        self.registry = CollectorRegistry()
        self.heard: list[bytes] = []
        self.backbone: Backbone | None = None
        self.app = create_api("Small", self._lifespan, self.registry)
        self._database_url = database_url
        self._settings = DatabaseServiceSettings.model_validate({"NATS_URL": nats_url})

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        async with open_backbone("billing", self._database_url, self._settings, self.registry) as backbone:
            self.backbone = backbone
            backbone.consume_usage(self._handle)
            await backbone.start(app)
            yield

    async def _handle(self, batch: Sequence[Received]) -> None:
        self.heard += [received.body for received in batch]


@asynccontextmanager
async def running(service: SmallService) -> AsyncIterator[httpx2.AsyncClient]:
    """The service with its lifespan, and somebody who calls it."""
    async with service.app.router.lifespan_context(service.app):
        transport = httpx2.ASGITransport(app=service.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://small") as client:
            yield client


@asynccontextmanager
async def ready(service: SmallService) -> AsyncIterator[tuple[httpx2.AsyncClient, Backbone]]:
    """The service once it can work, who calls it, and what it stands on."""
    async with running(service) as client:
        assert service.backbone is not None
        await service.backbone.pool.execute(OUTBOX)
        await until(lambda: all_ready(client))
        yield client, service.backbone


async def test_a_service_on_it_becomes_ready_hears_and_tells(database: TestDatabase, nats_url: str) -> None:
    service = SmallService(database.owner_url, nats_url)
    async with ready(service) as (_, backbone):
        await backbone.bus.jetstream.publish("usage.recorded.openai.k", b"1", headers={"Nats-Msg-Id": "1"})
        await until(lambda: service.heard == [b"1"])
        await until(lambda: service.registry.get_sample_value("tollgate_consumed_events_total") == 1.0)

        async with backbone.pool.acquire() as connection, connection.transaction():
            row = await add(connection, [snapshot("keys", "k", KeySnapshot(id="k", name="n", secrets=()))])
        assert await backbone.relay.published(row, 5.0) == {"keys": 1}


async def test_it_closes_everything_that_it_opened(database: TestDatabase, nats_url: str) -> None:
    before = asyncio.all_tasks()
    service = SmallService(database.owner_url, nats_url)
    async with ready(service) as (_, backbone):
        pass
    assert backbone.bus.client.is_closed
    assert backbone.pool.is_closing()
    await until(lambda: not {task for task in asyncio.all_tasks() - before if not task.done()}, 5)


async def test_what_cannot_be_closed_leaves_nothing_else_open(
    database: TestDatabase, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise ConnectionReconnectingError

    service = SmallService(database.owner_url, nats_url)
    async with ready(service) as (_, backbone):
        stop = backbone.broker.stop
        monkeypatch.setattr(backbone.broker, "stop", fail)
    assert backbone.bus.client.is_closed
    assert backbone.pool.is_closing()
    await stop()


async def test_it_is_not_ready_while_postgres_is_away(database: TestDatabase, nats_url: str) -> None:
    service = SmallService(database.owner_url, nats_url)
    async with ready(service) as (client, backbone):
        await backbone.pool.close()
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"postgres": False, "nats": True, "sessions": True}
        assert (await client.get("/livez")).status_code == 200


async def test_a_bus_that_cannot_be_reached_stops_the_start_and_leaves_no_pool_open(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.bus.connect._FIRST_CONNECT_SECONDS", 1)
    service = SmallService(database.owner_url, "nats://127.0.0.1:1")
    with pytest.raises((OSError, TimeoutError)):
        async with running(service):
            raise AssertionError("it should not have started")
    assert await open_connections(database) == 0


async def open_connections(database: TestDatabase) -> int:
    """Connections of the service that are open on the server."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        return int(await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'billing'"))
    finally:
        await owner.close()


async def all_ready(client: httpx2.AsyncClient) -> bool:
    """Whether the service says that it can work."""
    return (await client.get("/readyz")).status_code == 200
