"""pytest plugin: real Postgres, NATS and Redis for every test that asks for them.

Which ones: those given by URL (`DATABASE_URL`, `NATS_URL`, `REDIS_URL`); else, with `TEST_SERVERS=containers`, Docker's
through testcontainers; else our own, from the wheels. They start once a session, and each test finds them empty: an
own database a service and test, streams and buckets as if provided anew, Redis flushed. What cannot be started is an
error, never a skipped test.

Thousands of tests start so, and what one of them left untouched is not made again for the next: a service's schema is
migrated once a session and copied from then on, a stream that nothing was put into stays.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis

from common.bus.connect import connect
from common.bus.provision import provision
from common.contracts.topology import BUCKETS, CONSUMERS, STREAMS
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
    templates: dict[str, TestDatabase] = field(default_factory=dict)
    """Databases with the migrated schema of one service, by its package; tests get copies."""


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this session."""
    with ExitStack() as stack:
        started = _servers(stack)
        yield started
        if os.environ.get("DATABASE_URL"):  # all others vanish as a whole
            asyncio.run(_drop_templates(started))


async def _drop_templates(servers: Servers) -> None:
    for template in servers.templates.values():
        await template.drop()


@pytest_asyncio.fixture
async def redis_url(servers: Servers) -> str:
    """An empty Redis."""
    client = redis.from_url(servers.redis_url)
    await client.flushall()
    await client.aclose()
    return servers.redis_url


@pytest_asyncio.fixture
async def nats_url(servers: Servers) -> str:
    """A NATS whose streams, buckets and consumers are as new and empty."""
    bus = await connect(servers.nats_url, "tests")
    kept = 0
    for info in await bus.jetstream.streams_info():
        if info.config.name not in _PROVIDED:
            continue
        if info.state.last_seq == 0 and info.state.consumer_count == _PROVIDED[info.config.name]:
            kept += 1
        else:
            await bus.jetstream.delete_stream(info.config.name)
    await bus.close()
    if kept < len(_PROVIDED):
        await provision(servers.nats_url)
    return servers.nats_url


_PROVIDED = {
    **{stream.name: sum(consumer.stream == stream.name for consumer in CONSUMERS) for stream in STREAMS},
    **{f"KV_{bucket.name}": 0 for bucket in BUCKETS},
}
"""The streams that are provided, those of buckets among them, with the number of their durable consumers."""


@pytest_asyncio.fixture
async def database(servers: Servers) -> AsyncIterator[TestDatabase]:
    """A database of this test's own; ask it for a service's migrated schema."""
    made = TestDatabase(servers)
    yield made
    await made.drop()


class TestDatabase:
    """One database that lives as long as one test."""

    __test__ = False

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._name = f"test_{secrets.token_hex(6)}"
        self._exists = False

    @property
    def owner_url(self) -> str:
        """The database as its owner sees it."""
        return urlunsplit(urlsplit(self._servers.database_url)._replace(path=f"/{self._name}"))

    async def create(self) -> None:
        """Make it, empty."""
        await self._on_server(f'CREATE DATABASE "{self._name}"')
        self._exists = True

    async def drop(self) -> None:
        """Remove it, whoever is still connected."""
        await self._on_server(f'DROP DATABASE IF EXISTS "{self._name}" WITH (FORCE)')

    async def service_url(self, package: str) -> str:
        """A service's migrated schema, beside those asked for before; the URL by which the service itself connects."""
        if self._exists:
            await self._migrate(package)
        else:
            await self._copy(package)
        parts = urlsplit(self.owner_url)
        return urlunsplit(parts._replace(netloc=f"{package}:{_PASSWORD}@{parts.hostname}:{parts.port}"))

    async def _migrate(self, package: str) -> None:
        await migrate_service(self.owner_url, schema=package, password=_PASSWORD, package=package)

    async def _copy(self, package: str) -> None:
        """Make it as a copy of the service's template, which is made when it is first needed."""
        template = self._servers.templates.get(package)
        if template is None:
            template = TestDatabase(self._servers)
            await template.create()
            await template._migrate(package)
            self._servers.templates[package] = template
        await self._on_server(f'CREATE DATABASE "{self._name}" TEMPLATE "{template._name}" STRATEGY file_copy')
        self._exists = True

    async def _on_server(self, statement: str) -> None:
        connection = await asyncpg.connect(self._servers.database_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


_PASSWORD = "only-in-tests"


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
