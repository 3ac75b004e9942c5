"""The guard before the dialer: no connection indoors, however a name leads there; the operator's own places pass."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from common.urls import rules_of
from gateway.upstream.client import ClientLimits, ConnectFailed, Deadlines, UpstreamClient, UpstreamRequest, split_url
from gateway.upstream.guard import guarded

DEADLINES = Deadlines(connect_seconds=2, first_byte_seconds=2, between_chunks_seconds=2, total_seconds=5)


@pytest.fixture
async def canary():
    """A server on this machine; `.connections` counts who reaches it."""

    async def serve(reader, writer):
        found.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found = SimpleNamespace(connections=0, port=server.sockets[0].getsockname()[1])
    yield found
    server.close()
    await server.wait_closed()


async def ask(url, rules, addresses):
    """What a call of a URL answers, whose name leads to these addresses."""

    async def resolve(origin):
        return addresses

    client = UpstreamClient(ClientLimits(), resolve=guarded(rules, resolve))
    origin, path = split_url(url)
    try:
        async with await client.send(UpstreamRequest(b"GET", origin, path, b""), DEADLINES) as response:
            return await response.body(100)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://rebound.example.com:{}/", ["127.0.0.1"]),
        ("https://rebound.example.com:{}/", ["8.8.8.8", "127.0.0.1"]),
        ("https://rebound.example.com:{}/", ["::ffff:127.0.0.1"]),
        ("https://127.0.0.1:{}/", ["127.0.0.1"]),
        ("https://localhost:{}/", ["127.0.0.1"]),
        ("https://2130706433:{}/", ["127.0.0.1"]),
        ("http://api.example.com:{}/", ["127.0.0.1"]),
        ("http://ollama2:{}/", ["127.0.0.1"]),
    ],
)
async def test_nothing_indoors_is_connected_to(canary, url, addresses):
    with pytest.raises(ConnectFailed):
        await ask(url.format(canary.port), rules_of("ollama"), addresses)
    assert canary.connections == 0


@pytest.mark.parametrize("allowed", ["ollama", "ollama:{}"])
async def test_what_the_operator_allows_is_reached(canary, allowed):
    rules = rules_of(allowed.format(canary.port))
    assert await ask(f"http://ollama:{canary.port}/", rules, ["127.0.0.1"]) == b"ok"
