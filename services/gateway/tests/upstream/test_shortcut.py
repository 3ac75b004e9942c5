"""Pieces that are taken as they come, in place of the reader: none twice, none lost, none before its turn."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from gateway.upstream.client import Deadlines, UpstreamTimeout

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def paced(*chunks, every=0.03):
    """A script that says these chunks one by one, and the end when there is one."""

    async def script(talk):
        await talk.listen()
        await talk.say(CHUNKED)
        for said in chunks:
            await asyncio.sleep(every)
            await talk.say(said)
        await talk.hear_end()

    return script


async def read_all(response, taken):
    """What the reader is given, while `taken` gets all that begins with a letter."""

    def take(piece):
        if not piece[:1].isalpha():
            return False
        taken.append(piece)
        return True

    response.shortcut = take
    return [piece async for piece in response]


async def test_what_the_shortcut_takes_the_reader_does_not_get(client, serve, patient):
    provider = await serve(paced(*map(chunk, (b"a", b"b", b"1", b"c", b"2")), b"0\r\n\r\n"))
    response, taken = await client.send(provider.ask(), patient), []
    assert await read_all(response, taken) == [b"1", b"2"]
    assert taken == [b"a", b"b", b"c"]
    assert client.stats().idle == 1


async def test_the_last_piece_may_be_taken_together_with_the_end(client, serve, patient):
    provider = await serve(paced(chunk(b"a") + b"0\r\n\r\n"))
    response, taken = await client.send(provider.ask(), patient), []
    assert (await read_all(response, taken), taken) == ([], [b"a"])


async def test_nothing_is_taken_before_what_waits_for_the_reader(client, serve, patient):
    provider = await serve(paced(chunk(b"1"), chunk(b"a"), chunk(b"b") + b"0\r\n\r\n"))
    response, taken = await client.send(provider.ask(), patient), []
    response.shortcut = lambda piece: bool(taken.append(piece)) or True
    await asyncio.sleep(0.4)  # nobody reads
    assert taken == []
    assert await response.body(10) == b"1ab"


async def test_a_compressed_answer_is_the_reader_s(client, serve, patient):
    zipped = gzip.compress(b"aa")

    async def script(talk):
        await talk.listen()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")
        for said in (chunk(zipped[:12]), chunk(zipped[12:]), b"0\r\n\r\n"):
            await asyncio.sleep(0.03)
            await talk.say(said)

    provider = await serve(script)
    response, taken = await client.send(provider.ask(), patient), []
    response.shortcut = lambda piece: bool(taken.append(piece)) or True
    assert await response.body(100) == b"aa"
    assert taken == []


async def test_pieces_that_are_taken_put_off_the_deadline_between_two(client, serve):
    provider = await serve(paced(*[chunk(b"a")] * 5, every=0.3))
    response, taken = await client.send(provider.ask(), Deadlines(5, 5, 1.0, 20)), []
    with pytest.raises(UpstreamTimeout) as caught:
        await read_all(response, taken)
    assert caught.value.phase == "between_chunks"
    assert len(taken) == 5


async def test_a_reader_that_is_cancelled_ends_the_shortcut(client, serve, patient, eventually):
    provider = await serve(paced(*[chunk(b"a")] * 200))
    response, taken = await client.send(provider.ask(), patient), []
    reading = asyncio.ensure_future(read_all(response, taken))
    await eventually(lambda: len(taken) >= 3)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    had = len(taken)
    assert await provider.talks[0].hung_up()
    assert len(taken) == had
