"""Clients that hang up at any instant: each call let in is told once, nothing stays held, no answer goes astray."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass

import pytest
from common.contracts.snapshots import AliasSnapshot, DeploymentSnapshot, TimeoutsSnapshot
from common.testing.serving import eventually
from gateway_house import Caller, House, add_own_provider
from own_provider import DONE, END, STREAM_HEAD, USAGE, Got, delta, own_provider, whole

CALLS = 1000
AT_ONCE = 40
LONGEST_SECONDS = 0.06


async def slowly(got: Got, writer: asyncio.StreamWriter) -> None:
    """Say again what was said, a little at a time."""
    draw = random.Random(got.words)
    await asyncio.sleep(draw.random() * 0.02)
    if not got.json.get("stream"):
        writer.write(whole(got.words))
        return
    writer.write(STREAM_HEAD)
    for _ in range(8):
        writer.write(delta(f"{got.words} "))
        await writer.drain()
        await asyncio.sleep(draw.random() * 0.008)
    writer.write(delta("", "stop") + USAGE + DONE + END)


@dataclass
class Outcome:
    """What one client saw before it left."""

    marker: str
    seen: bytes

    def has_strangers_words(self) -> bool:
        """Whether anything in it was said to somebody else."""
        return any(word.startswith(b"marker-") and word != self.marker.encode() for word in self._words())

    def _words(self) -> list[bytes]:
        return self.seen.replace(b'"', b" ").split()


async def give_up(house: House, caller: Caller, number: int) -> Outcome:
    """One call whose client leaves after a random while; one in ten stays to the end."""
    draw = random.Random(number)
    marker = f"marker-{number:04d}"
    body = {
        "model": "echo",
        "stream": number % 3 != 0,
        "messages": [{"role": "user", "content": marker}],
        "max_tokens": 50,
    }
    text = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {caller.secret}\r\n"
        f"connection: close\r\ncontent-length: {len(text)}\r\n\r\n"
    )
    host, _, port = house.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    outcome = Outcome(marker, b"")
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(10 if number % 10 == 0 else draw.random() * LONGEST_SECONDS):
            writer.write(head.encode() + text)
            while piece := await reader.read(65536):
                outcome.seen += piece
    if draw.random() < 0.5:
        writer.transport.abort()
    else:
        writer.close()
    return outcome


async def settled(house: House) -> None:
    """Wait until nothing runs any more."""
    for _ in range(500):
        if not await house.redis.zcard("holds") and await house.metric("running") <= 1:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("calls are still running")


@pytest.mark.parametrize("limits", [{"max_concurrency": AT_ONCE}])
async def test_a_thousand_clients_that_leave_at_random_leave_nothing_behind(
    house: House, limits: dict[str, int]
) -> None:
    async with own_provider(slowly) as provider:
        await add_own_provider(house, provider)
        caller = await house.caller(**limits)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Outcome:
            async with gate:
                return await give_up(house, caller, number)

        outcomes = await asyncio.gather(*[one(number) for number in range(CALLS)])
        await settled(house)

        async def has_ended() -> bool:
            return provider.running == 0

        await eventually(has_ended)
        assert not [outcome.marker for outcome in outcomes if outcome.has_strangers_words()]
        assert await house.metric("held_leases") == 0
        assert await house.metric("unsettled") == 0
        assert await house.redis.zcard(f"concurrency:{caller.id}") == 0

        events = await house.told(caller, 1)
        by_request = {event.request_id: event for event in events}
        assert len(by_request) == len(events)
        asked = [got.headers["x-client-request-id"] for got in provider.got]
        assert len(set(asked)) == len(asked)
        assert set(asked) <= by_request.keys()
        held, spent = await house.open_money(caller)
        assert held == 0
        assert spent == sum(event.cost_usd.to_nano_ceiling() for event in events)

        statuses = {event.status for event in events}
        assert {"completed", "cancelled"} <= statuses
        finished = [outcome for outcome in outcomes if b"data: [DONE]\n\n" in outcome.seen]
        assert 50 <= len(finished) <= sum(event.status == "completed" for event in events)

        answer = await house.ask(caller, "marker-last", model="echo")
        assert answer.json()["choices"][0]["message"]["content"] == "marker-last"
        assert provider.got[-1].words == "marker-last"
    for unexpected in ("call_crashed", "task_failed", "Traceback", "never retrieved", "is closed"):
        assert unexpected not in house.output


async def test_a_client_that_stops_reading_is_let_go(house: House) -> None:
    """It hangs on, but takes nothing: its call ends with the longest an attempt may take, and holds nothing after."""

    async def endlessly(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        while True:
            writer.write(delta("x" * 50_000))
            await writer.drain()

    brief = AliasSnapshot(
        id="brief",
        alias="brief",
        deployments=(DeploymentSnapshot(provider="custom", model="echo"),),
        timeouts=TimeoutsSnapshot(total_s=2),
    )
    async with own_provider(endlessly) as provider:
        await add_own_provider(house, provider)
        await house.put("catalog", "alias.brief", brief)
        await house.is_callable("brief")
        caller = await house.caller()
        body = json.dumps({"model": "brief", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {caller.secret}\r\n"
        host, _, port = house.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert await reader.read(100)
        [event] = await house.told(caller)
        assert event.status == "cancelled"
        assert (await house.open_money(caller))[0] == 0
        assert house.memory() < 300 << 20
        writer.transport.abort()
        await settled(house)
