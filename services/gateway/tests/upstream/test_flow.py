"""Bytes in motion: backpressure both ways, large requests, and leaving before the end."""

from __future__ import annotations

import asyncio
import socket

import pytest
from gateway.upstream.client import UpstreamCut, UpstreamTimeout

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_slow_reader_holds_the_provider_back(serve, client, patient):
    sent = 0
    piece = b"x" * 65_536

    async def script(talk):
        nonlocal sent
        await talk.listen()
        talk.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (1000 * len(piece)))
        for _ in range(1000):
            await talk.say(piece)
            sent += len(piece)

    provider = await serve(script)
    response = await client.send(provider.ask(), patient)
    stalled = -1
    while sent != stalled:
        stalled = sent
        await asyncio.sleep(0.3)
    assert 0 < stalled < 20_000_000  # of 65 MB: our buffer, and what the kernel holds on both sides
    size, largest = 0, 0
    async for part in response:
        size += len(part)
        largest = max(largest, len(part))
    assert size == 65_536_000
    assert largest <= 262_144 + 65_536  # what is held is the bound and at most one more read of the socket
    assert client.stats().idle == 1


async def test_a_large_request_arrives_whole_without_piling_up_in_our_memory(serve, client, patient):
    body = bytes(range(256)) * 40_000
    go_on = asyncio.Event()

    async def script(talk):
        await go_on.wait()
        received = await talk.listen()
        await talk.answer(b"same" if received and received.body == body else b"different")

    provider = await serve(script)
    task = asyncio.ensure_future(client.send(provider.ask(body=body), patient))
    await asyncio.sleep(0.1)
    (connection,) = next(iter(client._pools.values()))._members
    assert 0 < connection._transport.get_write_buffer_size() <= 65_536 + 262_144
    go_on.set()
    response = await task
    assert await response.body(100) == b"same"


async def test_an_answer_that_comes_before_the_request_is_through_is_taken_and_the_connection_closed(
    serve, client, patient
):
    async def script(talk):
        await talk.reader.readuntil(b"\r\n\r\n")
        await talk.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await talk.hear_end()

    provider = await serve(script)
    response = await client.send(provider.ask(body=bytes(30_000_000)), patient)
    assert (response.status, await response.body(10)) == (413, b"no")
    assert client.stats().open == 0


async def test_a_connection_with_half_a_request_on_it_is_not_used_again(client, serve, patient):
    async def script(talk):
        await talk.reader.readuntil(b"\r\n\r\n")
        await talk.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n")
        while (await talk.reader.read(1_000_000)) and not talk.reader.at_eof():
            if not talk.reader._buffer:
                await asyncio.sleep(0.1)
                if not talk.reader._buffer:
                    break  # everything that was handed to the transport has gone through
        await talk.say(b"no")
        await talk.hear_end()

    provider = await serve(script)
    response = await client.send(provider.ask(body=bytes(30_000_000)), patient)
    assert (response.status, await response.body(10)) == (413, b"no")
    assert client.stats().open == 0


async def test_a_request_may_take_longer_than_the_first_byte_deadline_as_long_as_it_moves(client, serve, patient):
    is_stalling = False

    async def script(talk):
        while received := await talk.reader.read(1_000_000):
            await asyncio.sleep(len(received) / 20_000_000)
            if is_stalling:
                await asyncio.sleep(5)
            if received.endswith(b"end"):
                await talk.answer(b"ok")

    provider = await serve(script)
    body = bytes(20_000_000) + b"end"
    hurried = type(patient)(5, 0.7, 5, 20)
    started = asyncio.get_running_loop().time()
    response = await client.send(provider.ask(body=body), hurried)
    assert await response.body(10) == b"ok"
    assert asyncio.get_running_loop().time() - started > 0.8
    task = asyncio.ensure_future(client.send(provider.ask(body=body), hurried))
    await asyncio.sleep(0.3)
    is_stalling = True
    with pytest.raises(UpstreamTimeout) as caught:
        await asyncio.wait_for(task, 4)
    assert caught.value.phase == "first_byte"


async def test_leaving_before_the_end_closes_the_connection_at_once(serve, client, patient):
    async def script(talk):
        await talk.listen()
        await talk.say(CHUNKED, b"5\r\nhello\r\n")
        await talk.hear_end()

    provider = await serve(script)
    async with await client.send(provider.ask(), patient) as response:
        assert await response.read() == b"hello"
    stats = client.stats()
    assert (stats.open, stats.closed) == (0, 1)
    assert await provider.talks[0].hung_up()
    with pytest.raises(UpstreamCut):
        await response.read()


async def test_leaving_while_the_provider_keeps_sending_stops_it(serve, client, patient):
    stopped = asyncio.Event()

    async def script(talk):
        await talk.listen()
        await talk.say(CHUNKED)
        try:
            while not talk.writer.is_closing():
                await talk.say(b"5\r\nhello\r\n")
        finally:
            stopped.set()

    provider = await serve(script)
    response = await client.send(provider.ask(), patient)
    await response.read()
    response.abort()
    await asyncio.wait_for(stopped.wait(), 5)


async def test_leaving_after_the_end_keeps_the_connection(serve, client, patient):
    async def script(talk):
        while await talk.listen():
            await talk.answer(b"hello")

    provider = await serve(script)
    response = await client.send(provider.ask(), patient)
    response.abort()  # everything has come, nobody has read it
    assert client.stats().idle == 1
    response = await client.send(provider.ask(), patient)
    assert await response.body(10) == b"hello"
    assert client.stats().reused == 1


async def test_a_provider_that_does_not_take_the_request_runs_into_the_first_byte_deadline(serve, client, patient):
    async def script(talk):
        await asyncio.sleep(5)

    provider = await serve(script)
    hurried = type(patient)(5, 0.2, 5, 5)
    with pytest.raises(UpstreamTimeout) as caught:
        await client.send(provider.ask(body=bytes(30_000_000)), hurried)
    assert (caught.value.phase, caught.value.sent) == ("first_byte", True)
    assert client.stats().open == 0
