"""pytest plugin: real Postgres, NATS and Redis for every test that asks for them.

Which ones: those given by URL (`DATABASE_URL`, `NATS_URL`, `REDIS_URL`); else, with `TEST_SERVERS=containers`, Docker's
through testcontainers; else our own, from the wheels. They start once a session, and each test finds them empty: an
own database a service and test, streams and buckets provided anew, Redis flushed. What cannot be started is an error,
never a skipped test.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis

from common.bus.connect import connect
from common.bus.provision import provision
from common.contracts.topology import BUCKETS, STREAMS
from common.postgres.migrate import migrate_service
from common.servers.nats import start_nats
from common.servers.ports import free_port
from common.servers.postgres import start_postgres
from common.servers.redis import start_redis


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers of this test session are; `database_url` is an owner's."""

    database_url: str
    nats_url: str
    redis_url: str


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this session."""
    with ExitStack() as stack:
        yield _servers(stack)


@pytest_asyncio.fixture
async def redis_url(servers: Servers) -> str:
    """An empty Redis."""
    client = redis.from_url(servers.redis_url)
    await client.flushall()
    await client.aclose()
    return servers.redis_url


@pytest_asyncio.fixture
async def nats_url(servers: Servers) -> str:
    """A NATS whose streams, buckets and consumers are new and empty."""
    bus = await connect(servers.nats_url, "tests")
    existing = {info.config.name for info in await bus.jetstream.streams_info()}
    for name in [*(stream.name for stream in STREAMS), *(f"KV_{bucket.name}" for bucket in BUCKETS)]:
        if name in existing:
            await bus.jetstream.delete_stream(name)
    await bus.close()
    await provision(servers.nats_url)
    return servers.nats_url


@pytest_asyncio.fixture
async def database(servers: Servers) -> AsyncIterator[TestDatabase]:
    """A database of this test's own; ask it for a service's migrated schema."""
    made = TestDatabase(servers.database_url, f"test_{secrets.token_hex(6)}")
    await made.create()
    yield made
    await made.drop()


class TestDatabase:
    """One database that lives as long as one test."""

    __test__ = False

    def __init__(self, owner_url: str, name: str) -> None:
        self._server_url = owner_url
        self._name = name

    @property
    def owner_url(self) -> str:
        """The database as its owner sees it."""
        return urlunsplit(urlsplit(self._server_url)._replace(path=f"/{self._name}"))

    async def create(self) -> None:
        """Make it."""
        await self._on_server(f'CREATE DATABASE "{self._name}"')

    async def drop(self) -> None:
        """Remove it, whoever is still connected."""
        await self._on_server(f'DROP DATABASE "{self._name}" WITH (FORCE)')

    async def service_url(self, package: str) -> str:
        """Migrate a service's schema; the URL by which the service itself connects."""
        password = "only-in-tests"
        await migrate_service(self.owner_url, schema=package, password=password, package=package)
        parts = urlsplit(self.owner_url)
        return urlunsplit(parts._replace(netloc=f"{package}:{password}@{parts.hostname}:{parts.port}"))

    async def _on_server(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _servers(stack: ExitStack) -> Servers:
    given = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "NATS_URL", "REDIS_URL")}
    if os.environ.get("TEST_SERVERS") == "containers":
        from common.testing.containers import start_containers  # needs Docker's client, which most runs do without

        given = {**start_containers(stack, {name for name, url in given.items() if not url}), **_set(given)}
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-tests-")))
    folder.chmod(0o755)
    return Servers(
        database_url=given["DATABASE_URL"] or _own_postgres(stack, folder),
        nats_url=given["NATS_URL"] or _own_nats(stack, folder),
        redis_url=given["REDIS_URL"] or _own_redis(stack, folder),
    )


def _set(given: dict[str, str]) -> dict[str, str]:
    return {name: url for name, url in given.items() if url}


def _own_postgres(stack: ExitStack, folder: Path) -> str:
    server = start_postgres(
        folder / "postgres",
        port=free_port(),
        password=secrets.token_urlsafe(16),
        log_path=folder / "postgres.log",
        durable=False,  # these data die with the session; what durability needs, the fault tests switch on
    )
    stack.callback(server.stop)
    return server.url


def _own_nats(stack: ExitStack, folder: Path) -> str:
    server = start_nats(
        folder / "nats",
        port=free_port(),
        user="tests",
        password=secrets.token_urlsafe(16),
        log_path=folder / "nats.log",
        durable=False,
    )
    stack.callback(server.stop)
    return server.url


def _own_redis(stack: ExitStack, folder: Path) -> str:
    server = start_redis(
        folder / "redis",
        port=free_port(),
        password=secrets.token_urlsafe(16),
        log_path=folder / "redis.log",
        persistent=True,
        durable=False,
    )
    stack.callback(server.stop)
    return server.url
