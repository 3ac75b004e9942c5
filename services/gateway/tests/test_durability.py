"""No call that a client saw to its end lacks its event, whatever is away; what could not be stored is not called done."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import redis.asyncio as redis
from common.contracts.topology import GATEWAY_LOGS_KEY
from common.ids import uuid7
from common.servers.nats import start_nats
from common.servers.ports import free_port
from common.servers.redis import start_redis
from common.servers.running import RunningServer
from gateway_house import Caller, House, open_house

REDIS_TIMEOUT = 0.5
SOON = 5.0
"""Half of what twenty calls would take one after the other, which leaves a slow machine ten times what they need."""
HELD = "[[simulate tokens=5 held={gate}]]"
"""An answer that does not come before it is let go: what is lost meanwhile is lost during the call."""


class Island:
    """A NATS and a Redis that are stopped and started again, with their files and ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_urlsafe(16)
        self._ports = (free_port(), free_port())
        self.nats: RunningServer = self.start_nats()
        self.redis: RunningServer = self.start_redis()

    def start_nats(self) -> RunningServer:
        self.nats = start_nats(
            self._folder / "nats", port=self._ports[0], user="tests", password=self._password,
            log_path=self._folder / "nats.log",
        )  # fmt: skip
        return self.nats

    def start_redis(self) -> RunningServer:
        self.redis = start_redis(
            self._folder / "redis", port=self._ports[1], password=self._password, log_path=self._folder / "redis.log",
            persistent=True,
        )  # fmt: skip
        return self.redis

    def restore(self) -> None:
        """Start what does not run."""
        if not self.nats.is_running():
            self.start_nats()
        if not self.redis.is_running():
            self.start_redis()


@dataclass
class Place:
    """A gateway on an island."""

    house: House
    island: Island

    async def lose_nats(self) -> None:
        """Stop NATS, and wait until the gateway has noticed."""
        self.island.nats.stop()
        await self.said("nats_disconnected")

    async def lose_redis(self) -> None:
        """Kill Redis."""
        self.island.redis.child.end()
        await self.house.redis.connection_pool.disconnect()

    async def said(self, event: str) -> None:
        """Wait for a line in the gateway's log."""
        await until(lambda: _is(event in self.house.output))

    async def ask(self, caller: Caller, content: str = "Hi", **members: Any) -> httpx2.Response:
        return await self.house.ask(caller, content, max_tokens=5, **members)

    async def is_ready(self) -> bool:
        return (await self.house.http.get("/readyz")).status_code == 200

    async def parked(self) -> int:
        return int(await self.house.redis.llen(GATEWAY_LOGS_KEY))

    def journaled(self) -> list[Any]:
        """The events in the journal."""
        lines = [line for path in self.house.journal.glob("*.jsonl") for line in path.read_bytes().splitlines()]
        return [json.loads(line)["event"]["data"] for line in lines]

    async def told_once(self, caller: Caller, count: int) -> list[Any]:
        """The events of a key, which are so many, and stay so many."""
        await self.house.told(caller, count)
        await asyncio.sleep(0.7)
        events: list[Any] = await self.house.told(caller, count)
        assert len(events) == len({(event.request_id, event.kind) for event in events}) == count
        return events


async def _is(fact: bool) -> bool:
    return fact


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline, "it does not come to hold"
        await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module")
async def shared(simulator: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One island for all tests of this module."""
    folder = tmp_path_factory.mktemp("island")
    island = Island(folder)
    settings = {"REDIS_TIMEOUT": str(REDIS_TIMEOUT), "GATEWAY_DRAIN_SECONDS": "1"}
    try:
        async with open_house(island.nats.url, island.redis.url, simulator, folder, settings) as house:
            yield Place(house, island)
    finally:
        island.nats.child.end()
        island.redis.child.end()


@pytest.fixture
async def place(shared: Place) -> AsyncIterator[Place]:
    """The island with everything up, before and after."""
    yield shared
    shared.island.restore()
    await until(shared.is_ready)
    await until(lambda: _is(shared.house.bus.client.is_connected))
    for unexpected in ("call_crashed", "task_failed", "Traceback"):
        assert unexpected not in shared.house.output


async def test_with_nats_away_events_wait_in_redis_and_come_back_once(place: Place) -> None:
    caller = await place.house.caller()
    await place.lose_nats()
    answers = await asyncio.gather(*[place.ask(caller, stream=number % 2 == 0) for number in range(6)])
    assert {answer.status_code for answer in answers} == {200}
    assert all("[DONE]" in answer.text for answer in answers[::2])
    assert await place.parked() == 6
    assert (await place.house.open_money(caller))[0] == 0
    place.island.start_nats()
    events = await place.told_once(caller, 6)
    assert {event.request_id for event in events} == {answer.headers["x-request-id"] for answer in answers}
    assert await place.parked() == 0
    spent = sum(event.cost_usd.to_nano_ceiling() for event in events)
    assert await place.house.open_money(caller) == (0, spent)


async def test_a_nats_that_hangs_is_given_up_after_a_while_and_counts_nothing_twice(place: Place) -> None:
    caller = await place.house.caller()
    place.island.nats.child.popen.send_signal(signal.SIGSTOP)
    began = asyncio.get_running_loop().time()
    answer = await place.ask(caller)
    assert answer.status_code == 200
    assert 0.9 < asyncio.get_running_loop().time() - began < 10  # not before its time, and not with its client
    assert await place.parked() == 1
    place.island.nats.child.popen.send_signal(signal.SIGCONT)
    await place.told_once(caller, 1)
    assert await place.parked() == 0


async def test_noise_among_what_waits_holds_up_nobody(place: Place) -> None:
    caller = await place.house.caller()
    await place.lose_nats()
    for noise in (b"", b"noise", b"\xff\xfe", b'{"id":1}', b"{}"):
        await place.house.redis.rpush(GATEWAY_LOGS_KEY, noise)
    await place.ask(caller)
    assert await place.parked() == 6
    place.island.start_nats()
    await place.told_once(caller, 1)
    await until(lambda: _nothing_is_parked(place))
    await place.said("waiting_event_unreadable")


async def _nothing_is_parked(place: Place) -> bool:
    return await place.parked() == 0


async def test_a_stream_that_is_full_has_not_stored(place: Place) -> None:
    caller = await place.house.caller()
    await place.ask(caller)
    await place.told_once(caller, 1)
    info = await place.house.bus.jetstream.stream_info("USAGE")
    roomy = info.config.max_bytes
    info.config.max_bytes = info.state.bytes + 100
    await place.house.bus.jetstream.update_stream(info.config)
    assert (await place.ask(caller)).status_code == 200
    assert await place.parked() == 1
    info.config.max_bytes = roomy
    await place.house.bus.jetstream.update_stream(info.config)
    await place.told_once(caller, 2)
    assert await place.parked() == 0


async def test_with_nats_and_redis_away_events_wait_on_the_disk(place: Place) -> None:
    caller = await place.house.caller()
    gate = uuid7()
    held = HELD.format(gate=gate)
    asked = [asyncio.create_task(place.ask(caller, held, stream=number == 0)) for number in range(3)]
    await until(lambda: _are_held(place, 3))
    await asyncio.gather(place.lose_nats(), place.lose_redis())
    await place.house.let_go(gate)
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].text.endswith("data: [DONE]\n\n")
    assert {event["request_id"] for event in place.journaled()} == {
        answer.headers["x-request-id"] for answer in answers
    }
    assert (await place.ask(caller)).status_code == 503
    place.island.restore()
    events = await place.told_once(caller, 3)
    assert not place.house.journal.exists() or place.journaled() == []
    spent = sum(event.cost_usd.to_nano_ceiling() for event in events)
    await until(lambda: _money_is(place, caller, (0, spent)))


async def _are_held(place: Place, count: int) -> bool:
    return int(await place.house.redis.zcard("holds")) == count


async def _money_is(place: Place, caller: Caller, money: tuple[int, int]) -> bool:
    return await place.house.open_money(caller) == money


async def test_a_gateway_that_died_leaves_its_journal_to_the_next(place: Place) -> None:
    caller = await place.house.caller()
    gate = uuid7()
    asked = asyncio.create_task(place.ask(caller, HELD.format(gate=gate)))
    await until(lambda: _are_held(place, 1))
    await asyncio.gather(place.lose_nats(), place.lose_redis())
    await place.house.let_go(gate)
    answer = await asked
    assert answer.status_code == 200
    assert place.house.child is not None
    place.house.child.end()
    [journaled] = place.journaled()
    assert journaled["request_id"] == answer.headers["x-request-id"]
    place.island.restore()
    await until(lambda: _is(place.house.bus.client.is_connected))
    await place.house.start()
    [event] = await place.told_once(caller, 1)
    assert event.kind == "final"
    assert place.journaled() == []
    assert await place.house.redis.zcard("holds") == 1  # which the reaper will tell of: nobody renews it
    await place.house.redis.delete("holds", f"hold:{event.request_id}/1")


async def test_with_nowhere_to_store_no_answer_is_called_whole_and_the_hold_stays(place: Place) -> None:
    caller = await place.house.caller()
    gate = uuid7()
    held = HELD.format(gate=gate)
    asked = [asyncio.create_task(place.ask(caller, held, stream=streamed)) for streamed in (False, True)]
    await until(lambda: _are_held(place, 2))
    folder = place.house.journal
    if folder.exists():
        folder.rename(folder.with_name("journal-aside"))
    folder.write_bytes(b"")
    await asyncio.gather(place.lose_nats(), place.lose_redis())
    await place.house.let_go(gate)
    whole, stream = await asyncio.gather(*asked)
    assert whole.status_code == 503
    assert whole.json()["error"]["reason"] == "service_unavailable"
    assert whole.headers["retry-after"] == "1"
    assert stream.status_code == 200
    last = json.loads(stream.text.split("\n\n")[-2][6:])
    assert last["error"]["reason"] == "service_unavailable"
    assert "[DONE]" not in stream.text
    folder.unlink()
    place.island.restore()
    await until(place.is_ready)
    assert await place.house.redis.zcard("holds") == 2
    held, spent = await place.house.open_money(caller)
    assert (held > 0, spent) == (True, 0)
    assert await place.house.metric("held_leases") == 0
    for name in await place.house.redis.zrange("holds", 0, -1):
        await place.house.redis.zadd("holds", {name: 1})  # the lease runs out, since nobody renews it
    await until(lambda: _are_held(place, 0))
    events = await place.told_once(caller, 2)
    assert {event.kind for event in events} == {"estimated"}
    assert (await place.house.open_money(caller))[0] == 0


async def test_a_redis_that_hangs_or_is_gone_closes_the_door_soon_and_opens_it_again(place: Place) -> None:
    caller = await place.house.caller()
    place.island.redis.child.popen.send_signal(signal.SIGSTOP)
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*[place.ask(caller) for _ in range(20)])
    assert asyncio.get_running_loop().time() - began < SOON
    place.island.redis.child.popen.send_signal(signal.SIGCONT)
    assert {answer.json()["error"]["reason"] for answer in answers} == {"service_unavailable"}
    assert all(answer.headers["retry-after"] == "1" for answer in answers)
    await until(lambda: _can_call(place, caller))
    await place.lose_redis()
    began = asyncio.get_running_loop().time()
    assert (await place.ask(caller)).status_code == 503
    assert asyncio.get_running_loop().time() - began < SOON
    assert not await place.is_ready()
    place.island.start_redis()
    await until(lambda: _can_call(place, caller))


async def _can_call(place: Place, caller: Caller) -> bool:
    return (await place.ask(caller)).status_code == 200


async def test_a_gateway_that_is_told_to_stop_tells_of_the_calls_it_breaks_off(place: Place) -> None:
    caller = await place.house.caller()
    body = {
        "model": "gpt-4",
        "stream": True,
        "messages": [{"role": "user", "content": "[[simulate tokens=99 chunk_ms=50]]"}],
    }
    seen = b""
    async with place.house.http.stream("POST", "/v1/chat/completions", json=body, headers=caller.headers) as answer:
        stopping = None
        try:
            async for piece in answer.aiter_raw():
                seen += piece
                stopping = stopping or asyncio.create_task(place.house.stop())
        except httpx2.TransportError:
            pass
    assert stopping is not None
    assert await stopping in (0, -signal.SIGTERM)
    assert b"[DONE]" not in seen
    await place.house.start()
    [event] = await place.told_once(caller, 1)
    assert (event.status, event.error.reason) == ("cancelled", "gateway_stopped")
    assert event.usage.output_tokens > 5
    assert await place.house.open_money(caller) == (0, event.cost_usd.to_nano_ceiling())


async def test_scripts_that_redis_has_forgotten_are_sent_again(place: Place) -> None:
    client: redis.Redis = place.house.redis
    await client.script_flush()
    assert (await place.ask(await place.house.caller())).status_code == 200
