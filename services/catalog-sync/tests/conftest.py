"""What these tests start from: a source that lists what a test says, the running service, and signed-in callers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import httpx2
import jwt
import pytest
import pytest_asyncio
import uvicorn
from catalog_sync.domain.listing import ListedModel, ListedPrice, Quote
from catalog_sync.domain.models import Facts
from catalog_sync.domain.vetting import Standing
from catalog_sync.flows import CatalogSync
from catalog_sync.main import create_app
from catalog_sync.settings import CatalogSyncSettings
from catalog_sync.sources.source import Source
from common.bus.buckets import read_bucket
from common.bus.connect import Bus, connect
from common.http.fetch import SourceUnreadable
from common.http.sessions import AUDIENCE, ISSUER
from common.ids import uuid7
from common.servers.ports import free_port
from common.testing.clocks import FixedClock
from common.testing.servers import TestDatabase
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI


class WrittenSource:
    """A source that lists what a test writes into it."""

    def __init__(self, *models: ListedModel, name: str = "packaged", standing: Standing = "vouched") -> None:
        self.name = name
        self.standing: Standing = standing
        self.models = models
        self.is_broken = False

    async def read(self) -> tuple[ListedModel, ...]:
        if self.is_broken:
            raise SourceUnreadable("it is not there")
        return self.models


def quotes(input_rate: str, output_rate: str) -> dict[str, Quote]:
    """Quotes for input and output."""
    return {"input_tokens": Quote(Decimal(input_rate)), "output_tokens": Quote(Decimal(output_rate))}


def listed(provider_type: str, name: str, *rates: tuple[str, str], **facts: Any) -> ListedModel:
    """A model that costs the first rates until 2026-01-01, the second from then on, and so on by year."""
    prices = tuple(
        ListedPrice(datetime(2025 + number, 1, 1, tzinfo=UTC) if number else None, (quotes(*one),))
        for number, one in enumerate(rates)
    )
    return ListedModel(Facts(provider_type, name, facts.pop("display_name", name), **facts), prices)


def few_models() -> tuple[ListedModel, ...]:
    """A small catalog with something of everything that the list can be asked for."""
    return (
        listed("openai", "gpt-4", ("30", "60"), display_name="GPT 4", names=("gpt-4-0613",), context_length=8192),
        listed("openai", "gpt-4o-mini", ("0.15", "0.6"), context_length=128_000, description="Small and fast"),
        listed("openai", "text-embedding-3-small", ("0.02", "0"), capabilities=("embeddings",)),
        listed("openai", "unpriced-1"),
        listed(
            "groq", "llama-3.1-8b-instant", ("0.05", "0.08"), context_length=131_072, description="Quick 100% llama"
        ),
        listed(
            "openrouter", "tongyi/deepresearch:free", display_name="Tongyi DeepResearch (free)", context_length=131_072
        ),
        listed("openrouter", "openai/gpt-4", ("30", "60"), context_length=8191),
    )


class Signer:
    """Signs session tokens as keyvault does."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.kid = "tests"

    def snapshot(self) -> bytes:
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return f'{{"kid": "{self.kid}", "public_key": "{text}"}}'.encode()

    def headers(self, role: str, user_id: str = "user-1") -> dict[str, str]:
        now = datetime.now(UTC)
        claims = {
            "sub": user_id,
            "jti": uuid7(),
            "iat": now,
            "exp": now + timedelta(hours=1),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "role": role,
            "tier": "enterprise",
        }
        token = jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self.kid})
        return {"authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class Running:
    """The service while it runs, and what is around it."""

    app: FastAPI
    public: httpx2.AsyncClient
    user: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    database: asyncpg.Connection[asyncpg.Record]
    bus: Bus

    @property
    def catalog(self) -> CatalogSync:
        catalog: CatalogSync = self.app.state.catalog
        return catalog

    async def bucket(self) -> dict[str, bytes]:
        """What the gateways see."""
        return await read_bucket(self.bus, "catalog", bytes)

    async def settled(self) -> None:
        """Wait until everything committed is told."""
        async with asyncio.timeout(60):
            while await self.database.fetchval("SELECT EXISTS (SELECT 1 FROM outbox)"):  # noqa: ASYNC110 - in Postgres
                await asyncio.sleep(0.05)

    async def model_id(self, name: str, provider_type: str = "openai") -> str:
        """The id of a model."""
        statement = "SELECT id FROM models WHERE provider_type = $1 AND name = $2"
        return str(await self.database.fetchval(statement, provider_type, name))


Run = Callable[..., AbstractAsyncContextManager[Running]]


@pytest_asyncio.fixture
async def run(database: TestDatabase, nats_url: str) -> Run:
    """Starts the service on this test's own servers; again and again, if a test likes."""
    url = await database.service_url("catalog_sync")
    signer = Signer()

    @asynccontextmanager
    async def start(
        source: Source | None = None,
        clock: FixedClock | None = None,
        cache: str | None = None,
        others: Sequence[Source] = (),
    ) -> AsyncIterator[Running]:
        bus = await connect(nats_url, "tests")
        await (await bus.jetstream.key_value("sessions")).put(f"key.{signer.kid}", signer.snapshot())
        given = {"NATS_URL": nats_url, "CATALOG_SYNC_DATABASE_URL": url, "CACHE_REDIS_URL": cache}
        settings = CatalogSyncSettings.model_validate(given)
        app = create_app(settings, clock, [source, *others] if source else None)
        connection = await asyncpg.connect(database.owner_url, server_settings={"search_path": "catalog_sync"})
        async with _serving(app) as at:
            clients = [
                httpx2.AsyncClient(base_url=at, headers=headers, timeout=30)
                for headers in ({}, signer.headers("user"), signer.headers("admin", "admin-1"))
            ]
            yield Running(app, *clients, database=connection, bus=bus)
            for client in clients:
                await client.aclose()
        await connection.close()
        await bus.close()

    return start


@pytest.fixture
def list_model() -> Callable[..., ListedModel]:
    """Makes a listed model: `list_model("openai", "m", ("1", "2"))`."""
    return listed


@pytest.fixture
def small_source() -> WrittenSource:
    """A source that lists a small catalog, until a test writes another into it."""
    return WrittenSource(*few_models())


@pytest.fixture
def make_source() -> Callable[..., WrittenSource]:
    """Makes a further source: `make_source("litellm", "survey", model, …)`."""
    return lambda name, standing, *models: WrittenSource(*models, name=name, standing=standing)


@pytest_asyncio.fixture
async def running(run: Run, small_source: WrittenSource) -> AsyncIterator[Running]:
    """The service with a small catalog."""
    async with run(small_source) as service:
        yield service


@asynccontextmanager
async def _serving(app: FastAPI) -> AsyncIterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="on"))
    task = asyncio.create_task(server.serve())
    url = f"http://127.0.0.1:{port}"
    try:
        await _ready(url, task)
        yield url
    finally:
        server.should_exit = True
        await task


async def _ready(url: str, task: asyncio.Task[None]) -> None:
    async with httpx2.AsyncClient(base_url=url) as client, asyncio.timeout(60):
        while not task.done():
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.05)
    raise AssertionError("the service ended before it was ready")
