"""Servers with a user for each service, made as those of one machine are made, for tests of what is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio as redis
from common.bus.connect import Bus, connect
from common.bus.provision import provision
from common.contracts.privileges import OPERATOR, PRIVILEGES, RedisServer
from common.servers.nats import start_nats
from common.servers.ports import free_port
from common.servers.redis import start_redis

SERVICES = tuple(row.service for row in PRIVILEGES)
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)


def password_of(service: str) -> str:
    """The password of a service's users in these tests."""
    return f"only-in-tests-{service}"


PASSWORDS = {service: password_of(service) for service in SERVICES}


@dataclass(frozen=True)
class GuardedNats:
    """A NATS that knows each service."""

    url: str
    port: int

    @asynccontextmanager
    async def as_operator(self) -> AsyncIterator[Bus]:
        """A connection that may do everything."""
        bus = await connect(self.url, "tests")
        yield bus
        await bus.close()

    @asynccontextmanager
    async def as_service(self, service: str) -> AsyncIterator[Bus]:
        """A connection as a service has it."""
        bus = await connect(f"nats://{service}:{password_of(service)}@127.0.0.1:{self.port}", service)
        yield bus
        await bus.close()

    async def refused(self, service: str, publish: Collection[str], subscribe: Collection[str] = ()) -> set[str]:
        """Try all these subjects as a service; those that the server itself refused."""
        said: list[str] = []

        async def on_error(error: Exception) -> None:
            said.append(str(error))

        async with self.as_service(service) as bus:
            bus.client._error_cb = on_error
            for subject in publish:
                await bus.client.publish(subject, b"{}", reply=bus.client.new_inbox())
            for subject in subscribe:
                await bus.client.subscribe(subject)
            await bus.client.flush()
            await asyncio.sleep(0.05)
        # The client tells of subjects in small letters only.
        told = {found[2] for line in said if (found := _VIOLATION.search(line))}
        return {subject for subject in (*publish, *subscribe) if subject.lower() in told}


@contextmanager
def guarded_nats(folder: Path) -> Iterator[GuardedNats]:
    """Start one; its streams and buckets are there."""
    server = start_nats(
        folder / "nats",
        port=free_port(),
        user=OPERATOR,
        password="operators-own",
        service_passwords=PASSWORDS,
        log_path=folder / "nats.log",
        durable=False,
    )
    asyncio.run(provision(server.url))
    yield GuardedNats(server.url, server.port)
    server.stop()


@dataclass(frozen=True)
class GuardedRedis:
    """A Redis that knows the services that need it."""

    url: str
    port: int

    @asynccontextmanager
    async def as_operator(self) -> AsyncIterator[redis.Redis]:
        """A connection that may do everything."""
        client = redis.from_url(self.url)
        yield client
        await client.aclose()

    @asynccontextmanager
    async def as_service(self, service: str) -> AsyncIterator[redis.Redis]:
        """A connection as a service has it."""
        client = redis.from_url(f"redis://{service}:{password_of(service)}@127.0.0.1:{self.port}/0")
        yield client
        await client.aclose()


@contextmanager
def guarded_redis(folder: Path, name: RedisServer) -> Iterator[GuardedRedis]:
    """Start one."""
    server = start_redis(
        folder / name,
        port=free_port(),
        password="operators-own",
        service_passwords=PASSWORDS,
        log_path=folder / f"{name}.log",
        persistent=name == "redis",
        durable=False,
    )
    yield GuardedRedis(server.url, server.port)
    server.stop()
