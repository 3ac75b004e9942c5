"""A call that is given up takes its connection with it: nothing of its answer can reach anybody else."""

from __future__ import annotations

import asyncio
import random

import pytest

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def give_up(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_giving_up_before_the_headers_closes_the_connection(client, serve, patient):
    async def script(talk):
        await talk.listen()
        await talk.hear_end()

    provider = await serve(script)
    task = asyncio.ensure_future(client.send(provider.ask(), patient))
    await asyncio.sleep(0.3)
    await give_up(task)
    assert client.stats().open == 0
    assert await provider.talks[0].hung_up()


async def test_giving_up_within_the_body_closes_the_connection(client, serve, patient):
    async def script(talk):
        await talk.listen()
        await talk.say(CHUNKED, b"5\r\nhello\r\n")
        await talk.hear_end()

    provider = await serve(script)
    response = await client.send(provider.ask(), patient)
    assert await response.read() == b"hello"
    task = asyncio.ensure_future(response.read())
    await asyncio.sleep(0.01)
    await give_up(task)
    assert client.stats().open == 0
    assert await provider.talks[0].hung_up()


async def test_giving_up_while_sending_a_large_request_closes_the_connection(client, serve, patient):
    go_on = asyncio.Event()

    async def script(talk):
        await go_on.wait()
        await talk.hear_end()

    provider = await serve(script)
    task = asyncio.ensure_future(client.send(provider.ask(body=bytes(30_000_000)), patient))
    await asyncio.sleep(0.1)
    await give_up(task)
    assert client.stats().open == 0
    go_on.set()
    assert await provider.talks[0].hung_up()


async def test_giving_up_while_connecting_leaves_nothing_open(client, serve, patient):
    provider = await serve(lambda talk: talk.hear_end())
    https = provider.ask()._replace(origin=provider.origin._replace(scheme="https"))
    task = asyncio.ensure_future(client.send(https, patient))
    await asyncio.sleep(0.05)
    assert client.stats().open == 1
    await give_up(task)
    assert client.stats().open == 0
    assert await provider.talks[0].hung_up()


async def test_giving_up_in_the_queue_does_not_lose_the_place_of_the_others(make_client, serve, patient):
    async def script(talk):
        while await talk.listen():
            await asyncio.sleep(0.05)
            await talk.answer(b"ok")

    provider = await serve(script)
    client = make_client(max_connections=1)
    tasks = [asyncio.ensure_future(client.send(provider.ask(), patient)) for _ in range(4)]
    await asyncio.sleep(0.01)
    await give_up(tasks[1])
    for task in (tasks[0], tasks[2], tasks[3]):
        assert await (await task).body(10) == b"ok"
    assert (client.stats().created, client.stats().idle) == (1, 1)


async def test_giving_up_in_the_turn_in_which_a_connection_is_handed_over_passes_it_on(make_client, serve, patient):
    provider = await serve(lambda talk: talk.hear_end())
    client = make_client(max_connections=1)
    first = asyncio.ensure_future(client.send(provider.ask(), patient))
    await asyncio.sleep(0.02)
    second = asyncio.ensure_future(client.send(provider.ask(), patient))
    third = asyncio.ensure_future(client.send(provider.ask(), patient))
    await asyncio.sleep(0.02)
    (connection,) = client._pools[provider.origin]._members
    connection.retire()  # its slot goes to the second, which has not run yet
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await asyncio.sleep(0.05)
    assert not third.done()
    assert len(provider.talks) == 2  # the third has connected
    await give_up(third)
    assert (client.stats().open, client.stats().waiting) == (0, 0)


async def test_giving_up_in_the_turn_in_which_a_used_connection_is_handed_over_passes_it_on(
    make_client, serve, patient
):
    async def script(talk):
        while await talk.listen():
            await asyncio.sleep(0.05)
            await talk.answer(b"ok")

    provider = await serve(script)
    client = make_client(max_connections=1)
    tasks = [asyncio.ensure_future(client.send(provider.ask(), patient)) for _ in range(3)]
    await asyncio.sleep(0.02)
    pool = client._pools[provider.origin]
    hand_over = pool.released

    def hand_over_to_one_who_leaves(connection):
        pool.released = hand_over
        hand_over(connection)
        tasks[1].cancel()

    pool.released = hand_over_to_one_who_leaves
    async with asyncio.timeout(2):
        first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(second, asyncio.CancelledError)
    assert (await first.body(10), await third.body(10)) == (b"ok", b"ok")
    assert (client.stats().created, client.stats().idle, len(provider.requests)) == (1, 1, 2)


async def test_a_thousand_calls_given_up_at_random_leave_no_trace(make_client, serve, patient, eventually):
    """Every answer carries the marker of its request; an answer that reaches another caller would show."""
    chance = random.Random(7)

    async def script(talk):
        while received := await talk.listen():
            marker = received.head.split()[1]
            await asyncio.sleep(chance.random() * 0.004)
            if chance.random() < 0.5:
                await talk.answer(marker * 20)
                continue
            await talk.say(CHUNKED)
            for _ in range(20):
                await talk.say(b"%x\r\n%b\r\n" % (len(marker), marker))
            await talk.say(b"0\r\n\r\n")

    provider = await serve(script)
    client = make_client(max_connections=16, max_waiting=2000, pool_seconds=30)
    outcomes = {"whole": 0, "given up": 0}

    async def one(number: int):
        marker = b"/m%06d" % number
        seen = b""
        try:
            async with await client.send(provider.ask(marker), patient) as response:
                async for piece in response:
                    seen += piece
            assert seen == marker * 20
            outcomes["whole"] += 1
        finally:
            assert seen == (marker * 20)[: len(seen)]

    async def one_given_up(number: int):
        task = asyncio.ensure_future(one(number))
        await asyncio.sleep(chance.random() * 0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            outcomes["given up"] += 1

    for start in range(0, 1000, 50):
        await asyncio.gather(*[one_given_up(start + number) for number in range(50)])
        await one(1_000 + start)
    stats = client.stats()
    assert outcomes["given up"] > 300
    assert outcomes["whole"] >= 20
    assert (stats.open, stats.waiting) == (stats.idle, 0)
    async with asyncio.timeout(1):
        await one(999_999)
    still_open = [talk for talk in provider.talks if not talk.writer.is_closing()]
    await eventually(lambda: len([talk for talk in still_open if not talk.writer.is_closing()]) == client.stats().idle)


async def test_an_error_of_the_caller_within_the_answer_closes_the_connection_too(client, serve, patient):
    async def script(talk):
        await talk.listen()
        await talk.say(CHUNKED, b"5\r\nhello\r\n")
        await talk.hear_end()

    async def stumble():
        async with await client.send(provider.ask(), patient) as response:
            async for _ in response:
                raise LookupError

    provider = await serve(script)
    with pytest.raises(LookupError):
        await stumble()
    assert await provider.talks[0].hung_up()
