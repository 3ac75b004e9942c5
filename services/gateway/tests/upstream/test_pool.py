"""Connections are shared as far as it is safe: reused, bounded, queued for, and dropped at the first doubt."""

from __future__ import annotations

import asyncio
import socket

import pytest
from gateway.upstream.client import ConnectFailed, Origin, UpstreamCut, UpstreamRequest, UpstreamTimeout


async def polite(talk):
    while await talk.listen():
        await talk.answer(b"ok")


def saying(raw: bytes):
    async def script(talk):
        while await talk.listen():
            await talk.say(raw)

    return script


async def call(client, request, deadlines):
    response = await client.send(request, deadlines)
    return await response.body(1000)


async def test_the_connection_used_last_is_used_first(client, serve, patient, eventually):
    provider = await serve(polite)
    await asyncio.gather(*[call(client, provider.ask(), patient) for _ in range(3)])
    assert client.stats().idle == 3
    for _ in range(5):
        await call(client, provider.ask(), patient)
    assert sorted(len(talk.requests) for talk in provider.talks) == [1, 1, 6]
    assert (client.stats().created, client.stats().reused) == (3, 5)


async def test_origins_do_not_share_connections(client, serve, patient):
    first, second = await serve(polite), await serve(polite)
    for provider in (first, second, first, second):
        assert await call(client, provider.ask(), patient) == b"ok"
    assert (client.stats().created, client.stats().reused) == (2, 2)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=5\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokH",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nsurplus",
    ],
)
async def test_a_connection_that_cannot_be_trusted_any_further_is_not_used_again(client, serve, patient, raw):
    provider = await serve(saying(raw))
    for _ in range(3):
        assert await call(client, provider.ask(), patient) == b"ok"
    assert (client.stats().reused, len(provider.talks)) == (0, 3)


async def test_bytes_that_come_while_a_connection_is_idle_end_it(client, serve, patient, eventually):
    async def script(talk):
        while await talk.listen():
            await talk.answer(b"ok")
            await asyncio.sleep(0.02)
            await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    provider = await serve(script)
    assert await call(client, provider.ask(), patient) == b"ok"
    await eventually(lambda: client.stats().open == 0)
    assert await call(client, provider.ask(), patient) == b"ok"


async def test_an_idle_connection_that_the_provider_closes_leaves_the_pool(client, serve, patient, eventually):
    async def script(talk):
        await talk.listen()
        await talk.answer(b"ok")

    provider = await serve(script)
    assert await call(client, provider.ask(), patient) == b"ok"
    await eventually(lambda: client.stats().open == 0)
    assert await call(client, provider.ask(), patient) == b"ok"
    assert client.stats().created == 2


class Bare:
    """A provider driven by hand on a plain socket, so that things can happen behind the loop's back."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self.ask = UpstreamRequest(b"POST", Origin("http", *self.listener.getsockname()), b"/", b"", b"{}")

    async def accept(self):
        conversation, _ = await self.loop.sock_accept(self.listener)
        conversation.setblocking(False)
        return conversation

    async def serve_one(self, conversation, answer=b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"):
        request = await self.loop.sock_recv(conversation, 65_536)
        await self.loop.sock_sendall(conversation, answer)
        return request


async def test_a_stale_connection_is_found_out_before_anything_is_written_to_it(client, patient):
    provider = Bare()
    first = asyncio.ensure_future(call(client, provider.ask, patient))
    conversation = await provider.accept()
    await provider.serve_one(conversation)
    assert await first == b"ok"
    conversation.close()  # from here to the next write the loop has no turn in which it could notice
    assert client.stats().idle == 1
    second = asyncio.ensure_future(call(client, provider.ask, patient))
    fresh = await asyncio.wait_for(provider.accept(), 5)
    await provider.serve_one(fresh)
    assert await second == b"ok"
    assert (client.stats().created, client.stats().reused) == (2, 0)
    fresh.close()
    provider.listener.close()


async def test_a_request_that_was_written_is_never_sent_again(client, patient):
    provider = Bare()
    first = asyncio.ensure_future(call(client, provider.ask, patient))
    conversation = await provider.accept()
    await provider.serve_one(conversation)
    assert await first == b"ok"
    second = asyncio.ensure_future(call(client, provider.ask, patient))
    assert await provider.loop.sock_recv(conversation, 65_536)
    conversation.close()  # read, perhaps run and billed, and not a byte of an answer
    with pytest.raises(UpstreamCut) as caught:
        await second
    assert caught.value.sent
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(provider.accept(), 0.1)
    assert client.stats().reused == 1
    provider.listener.close()


async def test_idle_connections_expire_without_being_asked_for(make_client, serve, patient, eventually):
    client = make_client(idle_seconds=0.1)
    provider = await serve(polite)
    await asyncio.gather(*[call(client, provider.ask(), patient) for _ in range(3)])
    assert client.stats().idle == 3
    await eventually(lambda: client.stats().open == 0)
    assert await provider.talks[0].hung_up()
    assert client._reaper is None


async def test_an_expired_connection_is_not_handed_out_although_the_reaper_has_not_come(make_client, serve, patient):
    client = make_client(idle_seconds=0.1)
    provider = await serve(polite)
    await call(client, provider.ask(), patient)
    client._reaper.cancel()
    await asyncio.sleep(0.12)
    assert client.stats().idle == 1
    await call(client, provider.ask(), patient)
    assert client.stats().created == 2


async def test_the_providers_keep_alive_hint_shortens_the_rest(client, serve, patient):
    answer = b"HTTP/1.1 200 OK\r\nKeep-Alive: max=9, timeout=3\r\ncontent-length: 2\r\n\r\nok"
    provider = await serve(saying(answer))
    await call(client, provider.ask(), patient)
    (connection,) = client._pools[provider.origin]._idle
    assert 1.9 < connection.idle_until - asyncio.get_running_loop().time() <= 2.01


async def test_no_more_than_the_allowed_number_rests(make_client, serve, patient):
    client = make_client(max_idle=2)
    provider = await serve(polite)
    await asyncio.gather(*[call(client, provider.ask(), patient) for _ in range(5)])
    assert (client.stats().open, client.stats().idle, client.stats().closed) == (2, 2, 3)


async def test_ten_calls_share_two_connections_first_come_first_served(make_client, serve, patient):
    client = make_client(max_connections=2)
    at_once = most = 0

    async def script(talk):
        nonlocal at_once, most
        while received := await talk.listen():
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1
            await talk.answer(received.head.split()[1])

    provider = await serve(script)
    finished: list[bytes] = []

    async def one(number: int):
        response = await client.send(provider.ask(b"/%d" % number), patient)
        finished.append(await response.body(100))

    await asyncio.gather(*[one(number) for number in range(10)])
    assert most == 2
    assert (client.stats().created, client.stats().reused, client.stats().waiting) == (2, 8, 0)
    asked = [received.head.split()[1] for received in provider.requests]
    assert sorted(finished) == sorted(asked) == [b"/%d" % number for number in range(10)]
    order = [int(target[1:]) for target in finished]
    assert all(abs(place - number) <= 1 for place, number in enumerate(order))


async def test_the_queue_for_a_connection_is_bounded(make_client, serve, patient):
    client = make_client(max_connections=1, max_waiting=3)
    provider = await serve(lambda talk: talk.hear_end())
    waiting = [asyncio.ensure_future(client.send(provider.ask(), patient)) for _ in range(4)]
    await asyncio.sleep(0.05)
    assert client.stats().waiting == 3
    with pytest.raises(UpstreamTimeout) as caught:
        await client.send(provider.ask(), patient)
    assert (caught.value.phase, caught.value.sent) == ("pool", False)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (client.stats().open, client.stats().waiting) == (0, 0)


async def test_a_closed_connection_makes_room_for_the_next_in_the_queue(make_client, serve, patient):
    client = make_client(max_connections=1)
    provider = await serve(saying(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"))
    answers = await asyncio.gather(*[call(client, provider.ask(), patient) for _ in range(5)])
    assert answers == [b"ok"] * 5
    assert (client.stats().created, client.stats().closed) == (5, 5)


async def test_a_failed_connection_attempt_makes_room_for_the_next_in_the_queue(make_client, patient):
    client = make_client(max_connections=1)
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        origin = Origin("http", *closed_soon.getsockname())
    nobody = UpstreamRequest(b"GET", origin, b"/")
    outcomes = await asyncio.gather(*[call(client, nobody, patient) for _ in range(5)], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectFailed] * 5
    assert not any(outcome.sent for outcome in outcomes)
    assert client.stats().open == 0


async def test_origins_that_are_no_longer_called_are_forgotten(make_client, serve, patient):
    client = make_client(max_idle=0)
    for _ in range(5):
        provider = await serve(polite)
        await call(client, provider.ask(), patient)
    assert len(client._pools) == 1


async def test_closing_ends_calls_in_flight_and_refuses_later_ones(make_client, serve, patient):
    client = make_client(max_connections=1)
    provider = await serve(lambda talk: talk.hear_end())
    in_flight = asyncio.ensure_future(client.send(provider.ask(), patient))
    queued = asyncio.ensure_future(client.send(provider.ask(), patient))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(UpstreamCut):
        await in_flight
    with pytest.raises(ConnectFailed):
        await queued
    with pytest.raises(ConnectFailed):
        await client.send(provider.ask(), patient)
    assert await provider.talks[0].hung_up()


async def test_closing_while_connecting_leaves_nothing_open(make_client, serve, patient):
    go_on = asyncio.Event()

    async def resolve(origin):
        await go_on.wait()
        return ["127.0.0.1"]

    client = make_client(resolve=resolve)
    provider = await serve(polite)
    connecting = asyncio.ensure_future(client.send(provider.ask(), patient))
    await asyncio.sleep(0.01)
    await client.close()
    go_on.set()
    with pytest.raises(ConnectFailed):
        await connecting
