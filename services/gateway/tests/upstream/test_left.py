"""Answers whose reader had enough before their end: the rest is dropped, and the connection used again or closed."""

from __future__ import annotations

import asyncio

BEGUN = (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n")
END = b"0\r\n\r\n"


def ending(*late: bytes, after: asyncio.Event):
    """A script that answers each request by a piece, and says the rest once it may."""

    async def script(talk):
        while await talk.listen():
            await talk.say(*BEGUN)
            await after.wait()
            await talk.say(*late)

    return script


async def leave(client, provider, patient, seconds):
    """Leave an answer after its first piece."""
    async with await client.send(provider.ask(), patient) as response:
        assert (await anext(response))[:1] == b"a"
        response.leave(seconds)


async def test_an_answer_that_ends_soon_gives_its_connection_back(client, serve, patient, eventually):
    after = asyncio.Event()
    provider = await serve(ending(b"1\r\nb\r\n", END, after=after))
    await leave(client, provider, patient, 30)
    assert client.stats().idle == 0
    after.set()
    await eventually(lambda: client.stats().idle == 1)
    response = await client.send(provider.ask(), patient)
    assert await response.body(10) == b"ab"  # of the second answer, and nothing of the first
    assert client.stats().created == 1


async def test_an_answer_that_does_not_end_is_closed(client, serve, patient):
    async def script(talk):
        await talk.listen()
        await talk.say(*BEGUN)
        await talk.hear_end()

    provider = await serve(script)
    await leave(client, provider, patient, 0.05)
    assert await provider.talks[0].hung_up()
    assert client.stats().open == 0


async def test_one_that_goes_on_and_on_is_closed_all_the_same(client, serve, patient):
    async def script(talk):
        await talk.listen()
        await talk.say(*BEGUN)
        while True:
            await talk.say(b"1\r\nb\r\n")
            await asyncio.sleep(0.01)

    provider = await serve(script)
    await leave(client, provider, patient, 0.2)
    assert await provider.talks[0].hung_up()


async def test_what_was_held_back_for_a_slow_reader_goes_on(make_client, serve, patient, eventually):
    async def script(talk):
        await talk.listen()
        await talk.say(*BEGUN, *[b"ffff\r\n%b\r\n" % bytes(0xFFFF)] * 200, END)
        await talk.hear_end()

    client, provider = make_client(buffer_bytes=1_000), await serve(script)
    async with await client.send(provider.ask(), patient) as response:
        await asyncio.sleep(0.1)  # more has come than is kept
        assert client.stats().idle == 0
        response.leave(30)
    await eventually(lambda: client.stats().idle == 1)


async def test_one_that_has_ended_is_left_like_any(client, serve, patient):
    after = asyncio.Event()
    after.set()
    provider = await serve(ending(END, after=after))
    async with await client.send(provider.ask(), patient) as response:
        assert await response.body(10) == b"a"
        response.leave(0.01)
    await asyncio.sleep(0.05)
    assert client.stats().idle == 1
