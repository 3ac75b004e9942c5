"""Every wait has a bound of its own, and the whole call has one that no drip can outlive."""

from __future__ import annotations

import asyncio
import time

import pytest
from gateway.upstream.client import Deadlines, UpstreamTimeout

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def saying(*pieces: bytes, every: float = 0.0):
    async def script(talk):
        while await talk.listen():
            for piece in pieces:
                await talk.say(piece)
                await asyncio.sleep(every)
            await talk.hear_end()

    return script


async def expect(phase: str, seconds: float, calling):
    """Awaits `calling`; it has to time out in this phase and at about this time."""
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout) as caught:
        await calling
    took = time.monotonic() - started
    assert (caught.value.phase, caught.value.seconds) == (phase, seconds)
    assert seconds - 0.3 <= took <= seconds + 2  # the total counts from the sending, which ended before `started`
    assert f"{phase} of {seconds:g} s" in str(caught.value)
    return caught.value


async def test_connecting_has_a_deadline(make_client, patient, serve):
    async def never(origin):
        await asyncio.sleep(60)
        return ["127.0.0.1"]

    provider = await serve(saying())
    client = make_client(resolve=never)
    error = await expect("connect", 0.15, client.send(provider.ask(), Deadlines(0.15, 5, 5, 5)))
    assert not error.sent
    error = await expect("total", 0.15, client.send(provider.ask(), Deadlines(5, 5, 5, 0.15)))
    assert not error.sent
    assert client.stats().open == 0


async def test_a_tls_handshake_that_stalls_counts_as_connecting(client, serve):
    provider = await serve(lambda talk: talk.hear_end())
    stalled = provider.ask()._replace(origin=provider.origin._replace(scheme="https"))
    error = await expect("connect", 0.15, client.send(stalled, Deadlines(0.15, 5, 5, 5)))
    assert not error.sent
    assert await provider.talks[0].hung_up()
    assert client.stats().open == 0


async def test_the_first_byte_has_a_deadline(client, serve):
    provider = await serve(saying())
    error = await expect("first_byte", 0.15, client.send(provider.ask(), Deadlines(5, 0.15, 5, 5)))
    assert error.sent
    assert await provider.talks[0].hung_up()


async def test_a_header_block_that_drips_counts_as_no_first_byte(client, serve):
    provider = await serve(saying(b"HTTP/1.1 200 OK\r\n", *[b"x: y\r\n"] * 100, every=0.05))
    await expect("first_byte", 0.2, client.send(provider.ask(), Deadlines(5, 0.2, 0.1, 5)))


async def test_the_wait_between_chunks_has_a_deadline(client, serve, patient):
    provider = await serve(saying(CHUNKED + b"5\r\nhello\r\n"))
    response = await client.send(provider.ask(), Deadlines(5, 0.1, 0.2, 5))
    assert await response.read() == b"hello"
    error = await expect("between_chunks", 0.2, response.read())
    assert error.sent
    assert await provider.talks[0].hung_up()
    assert client.stats().open == 0


async def test_chunks_that_come_in_time_may_go_on_for_longer_than_the_wait_between_two(client, serve):
    provider = await serve(saying(CHUNKED, *[b"1\r\nx\r\n"] * 12, b"0\r\n\r\n", every=0.05))
    response = await client.send(provider.ask(), Deadlines(5, 0.5, 0.5, 5))
    assert await response.body(100) == b"x" * 12


@pytest.mark.parametrize("drip", [b"1\r\nx\r\n", b"0"])
async def test_a_drip_hits_the_total_deadline(client, serve, drip):
    """The second drip is one endless chunk size, byte by byte: nothing of it ever reaches the caller."""
    provider = await serve(saying(CHUNKED, *[drip] * 1000, every=0.02))
    response = await client.send(provider.ask(), Deadlines(5, 5, 0.9, 1.0))
    error = await expect("total", 1.0, response.body(10_000))
    assert error.sent
    assert await provider.talks[0].hung_up()


async def test_the_total_deadline_holds_while_nobody_reads(client, serve, eventually):
    provider = await serve(saying(CHUNKED + b"5\r\nhello\r\n"))
    response = await client.send(provider.ask(), Deadlines(5, 5, 0.1, 1.0))
    await asyncio.sleep(0.3)  # longer than the wait between two chunks, which counts only while somebody waits
    assert client.stats().open == 1
    await eventually(lambda: client.stats().open == 0)
    assert await response.read() == b"hello"  # what had come is not lost
    with pytest.raises(UpstreamTimeout) as caught:
        await response.read()
    assert caught.value.phase == "total"


async def test_a_timer_left_from_one_call_neither_ends_the_next_nor_keeps_it_waiting(client, serve):
    delays = iter([0.0, 0.7, 5.0])

    async def script(talk):
        while await talk.listen():
            await asyncio.sleep(next(delays))
            await talk.answer(b"ok")

    provider = await serve(script)
    for first_byte_seconds in (0.5, 5.0):
        response = await client.send(provider.ask(), Deadlines(5, first_byte_seconds, 5, 10))
        assert await response.body(10) == b"ok"
    await expect("first_byte", 0.1, client.send(provider.ask(), Deadlines(5, 0.1, 5, 10)))
    assert client.stats().reused == 2


async def test_waiting_for_a_connection_has_a_deadline(make_client, serve, patient):
    provider = await serve(saying())
    client = make_client(max_connections=1, pool_seconds=0.15)
    busy = asyncio.ensure_future(client.send(provider.ask(), patient))
    await asyncio.sleep(0.05)
    error = await expect("pool", 0.15, client.send(provider.ask(), patient))
    assert not error.sent
    error = await expect("total", 0.1, client.send(provider.ask(), Deadlines(5, 5, 5, 0.1)))
    assert not error.sent
    assert client.stats().waiting == 0
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
