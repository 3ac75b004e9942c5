"""A link does what its mode says, to connections that are there and to those that come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from common.servers.ports import free_port

from .proxy import Link


@pytest_asyncio.fixture
async def link() -> AsyncIterator[Link]:
    """A link to a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(100):
            heard.append(said)
            writer.write(said)
        writer.close()

    heard: list[bytes] = []
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = Link("here → there", free_port(), server.sockets[0].getsockname()[1])
    link.heard = heard  # type: ignore[attr-defined]
    await link.serve()
    yield link
    await link.close()
    server.close()


async def _said_back(link: Link, said: bytes = b"hello", seconds: float = 0.3) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(said)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read(100)
    finally:
        writer.transport.abort()


async def test_an_open_link_passes_everything(link: Link) -> None:
    assert await _said_back(link) == b"hello"
    assert (link.counts.bytes_up, link.counts.bytes_down) == (5, 5)


async def test_a_cut_resets_what_is_there_and_what_comes(link: Link) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"one")
    assert await reader.read(10) == b"one"
    link.set_mode("cut")
    with pytest.raises(ConnectionResetError):
        assert await reader.read(10) == b"never"
    with pytest.raises(ConnectionResetError):
        assert await _said_back(link) == b"never"
    link.set_mode("open")
    await asyncio.sleep(0.05)
    assert await _said_back(link) == b"hello"


async def test_a_silent_link_says_nothing_and_resets_once_healed(link: Link) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    link.set_mode("silent")
    await asyncio.sleep(0.05)
    writer.write(b"one")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read(10)
    assert link.heard == []  # type: ignore[attr-defined]
    link.set_mode("open")
    with pytest.raises(ConnectionResetError):
        await reader.read(10)


async def test_a_deaf_link_delivers_requests_and_swallows_replies(link: Link) -> None:
    link.set_mode("deaf")
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        await _said_back(link)
    assert link.heard == [b"hello"]  # type: ignore[attr-defined]


async def test_a_slow_link_holds_back(link: Link) -> None:
    link.set_delay(0.2)
    began = asyncio.get_running_loop().time()
    assert await _said_back(link, seconds=2) == b"hello"
    assert asyncio.get_running_loop().time() - began >= 0.4
