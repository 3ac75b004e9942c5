"""Refusing a key while Redis is away: said to be unfinished, and finished later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest_asyncio


class Door:
    """A port that leads to Redis while it is open; shutting it cuts every connection."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._is_open = True
        self._through: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def open(self) -> None:
        self._is_open = True

    def shut(self) -> None:
        self._is_open = False
        for writer in self._through:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            writer.close()
            return
        onward_reader, onward_writer = await asyncio.open_connection(*self._to)
        self._through |= {writer, onward_writer}
        await asyncio.gather(
            self._copy(reader, onward_writer), self._copy(onward_reader, writer), return_exceptions=True
        )
        self._through -= {writer, onward_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def door(redis_url: str) -> AsyncIterator[Door]:
    """The way to Redis."""
    parts = urlsplit(redis_url)
    made = Door(str(parts.hostname), int(parts.port or 6379))
    server = await made.start()
    yield made
    made.shut()
    server.close()


def through(door: Door, redis_url: str) -> str:
    parts = urlsplit(redis_url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{door.port}"))


async def marked(alone: Any, key_id: str) -> bool:
    return bool(await alone.redis.exists(f"revoked:{key_id}"))


async def pending(alone: Any, key_id: str) -> bool:
    return bool(await alone.owner.fetchval("SELECT refusal_pending FROM virtual_keys WHERE id = $1", key_id))


async def test_while_redis_is_away_a_revocation_is_saved_said_to_be_unfinished_and_finished_later(
    start: Any, door: Door, redis_url: str, eventually: Any
) -> None:
    async with start(REDIS_URL=through(door, redis_url)) as alone:
        user = await alone.person()
        made = await alone.make_key(user)
        path = f"/api/v1/keys/{made['id']}"
        door.shut()
        answer = await alone.call("DELETE", path, user)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert not await marked(alone, made["id"])
        assert await pending(alone, made["id"])
        assert (await alone.call("GET", path, user)).status_code == 404
        assert (await alone.call("DELETE", path, user)).status_code == 503
        door.open()
        await eventually(lambda: marked(alone, made["id"]))
        assert (await alone.call("DELETE", path, user)).status_code == 204
        assert not await pending(alone, made["id"])


async def test_a_revocation_that_died_halfway_is_finished_by_the_next_start(
    start: Any, door: Door, redis_url: str, eventually: Any
) -> None:
    async with start(REDIS_URL=through(door, redis_url)) as alone:
        user = await alone.person()
        made = await alone.make_key(user)
        door.shut()
        await alone.call("DELETE", f"/api/v1/keys/{made['id']}", user)
    async with start() as alone:
        await eventually(lambda: marked(alone, made["id"]))


async def test_of_two_changes_while_redis_is_away_the_later_one_stays(
    start: Any, door: Door, redis_url: str, eventually: Any
) -> None:
    async with start(REDIS_URL=through(door, redis_url)) as alone:
        user = await alone.person()
        made = await alone.make_key(user)
        path = f"/api/v1/keys/{made['id']}"
        door.shut()
        assert (await alone.call("PATCH", path, user, {"enabled": False})).status_code == 503
        assert (await alone.call("PATCH", path, user, {"enabled": True})).status_code == 503
        door.open()

        async def settled() -> bool:
            return not await pending(alone, made["id"])

        await eventually(settled)
        assert not await marked(alone, made["id"])
