"""A mirror holds what its bucket holds: at first, after each change, and after an outage in which it heard nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio
from common.bus.connect import Bus, connect
from common.bus.mirror import Mirror, OnChange
from common.bus.provision import provision
from nats.js.kv import KeyValue

from .own_nats import OwnNats
from .waiting import until

BUCKET = "keys"


class Held:
    """What a service makes of a bucket: the bytes by key, but for those that make no sense."""

    def __init__(self) -> None:
        self.now: dict[str, bytes] = {}
        self.gone: list[str] = []

    def apply(self, key: str, body: bytes | None) -> None:
        """Take in one snapshot."""
        if body is None:
            self.now.pop(key, None)
            self.gone.append(key)
        elif body.startswith(b"?"):
            raise ValueError("makes no sense")
        else:
            self.now[key] = body


@asynccontextmanager
async def following(bus: Bus, on_change: OnChange, reread_seconds: float = 300.0) -> AsyncIterator[Mirror]:
    """A mirror that runs."""
    mirror = Mirror(bus, BUCKET, on_change, reread_seconds=reread_seconds)
    task = asyncio.create_task(mirror.run())
    try:
        yield mirror
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest_asyncio.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection to an empty NATS."""
    made = await connect(nats_url, "tests")
    yield made
    await made.close()


@pytest_asyncio.fixture
async def store(bus: Bus) -> KeyValue:
    """The bucket, as its writer has it."""
    return await bus.jetstream.key_value(BUCKET)


async def test_it_is_ready_once_it_holds_everything(bus: Bus, store: KeyValue) -> None:
    for number in range(300):
        await store.put(f"k{number}", b"%d" % number)
    await store.put("k7", b"seven")
    await store.delete("k8")
    held = Held()
    async with following(bus, held.apply) as mirror:
        assert not mirror.ready.is_set()
        await asyncio.wait_for(mirror.ready.wait(), 10)
        assert len(held.now) == 299
        assert held.now["k7"] == b"seven"
        assert "k8" not in held.now


async def test_it_is_ready_at_once_when_there_is_nothing(bus: Bus) -> None:
    async with following(bus, Held().apply) as mirror:
        await asyncio.wait_for(mirror.ready.wait(), 5)


async def test_changes_and_removals_arrive_and_can_be_waited_for(bus: Bus, store: KeyValue) -> None:
    held = Held()
    async with following(bus, held.apply) as mirror:
        await asyncio.wait_for(mirror.ready.wait(), 5)
        revision = await store.put("a", b"1")
        assert await mirror.wait_for(revision, 2)
        assert held.now == {"a": b"1"}
        await store.put("a", b"2")
        revision = await store.put("b", b"3")
        assert await mirror.wait_for(revision, 2)
        assert held.now == {"a": b"2", "b": b"3"}
        await store.delete("a")
        await store.purge("b")
        await until(lambda: held.now == {})
        assert held.gone == ["a", "b"]


async def test_waiting_for_what_does_not_come_ends_in_time(bus: Bus, store: KeyValue) -> None:
    revision = await store.put("a", b"1")
    async with following(bus, Held().apply) as mirror:
        assert await mirror.wait_for(revision, 5)
        started = asyncio.get_running_loop().time()
        assert not await mirror.wait_for(revision + 1, 0.2)
        assert 0.15 < asyncio.get_running_loop().time() - started < 2


async def test_what_cannot_be_read_is_counted_and_left_out(bus: Bus, store: KeyValue) -> None:
    await store.put("bad", b"?")
    await store.put("good", b"1")
    held = Held()
    async with following(bus, held.apply) as mirror:
        await asyncio.wait_for(mirror.ready.wait(), 5)
        assert (held.now, mirror.unreadable) == ({"good": b"1"}, 1)
        revision = await store.put("good", b"?")
        assert await mirror.wait_for(revision, 2)
        assert (held.now, mirror.unreadable) == ({"good": b"1"}, 2)
        await store.put("bad", b"2")
        await until(lambda: held.now == {"good": b"1", "bad": b"2"})


async def test_it_reads_everything_again_every_so_often(bus: Bus, store: KeyValue) -> None:
    await store.put("a", b"1")
    held = Held()
    async with following(bus, held.apply, reread_seconds=0.2) as mirror:
        await asyncio.wait_for(mirror.ready.wait(), 5)
        held.now["a"] = b"forgotten"
        await until(lambda: held.now == {"a": b"1"})


# --- an outage ---------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def own(tmp_path: Path) -> AsyncIterator[OwnNats]:
    """An own NATS, stopped at the end."""
    made = OwnNats(tmp_path)
    yield made
    made.stop()


async def test_what_changed_while_it_was_cut_off_is_there_soon_after_the_server_is(own: OwnNats) -> None:
    url = own.start()
    await provision(url)
    bus = await connect(url, "mirror")
    held = Held()
    writer = await connect(url, "writer")
    store = await writer.jetstream.key_value(BUCKET)
    await store.put("stays", b"1")
    await store.put("goes", b"1")
    await writer.close()
    async with following(bus, held.apply) as mirror:
        await asyncio.wait_for(mirror.ready.wait(), 10)
        own.stop()
        await until(lambda: not bus.client.is_connected)
        assert held.now == {"stays": b"1", "goes": b"1"}

        own.start()
        writer = await connect(url, "writer")
        store = await writer.jetstream.key_value(BUCKET)
        await store.put("stays", b"2")
        await store.delete("goes")
        revision = await store.put("comes", b"3")
        assert await mirror.wait_for(revision, 8)
        assert held.now == {"stays": b"2", "comes": b"3"}
        revision = await store.put("comes", b"4")
        assert await mirror.wait_for(revision, 2)
        assert held.now["comes"] == b"4"
    await writer.close()
    await bus.close()


async def test_what_is_no_longer_in_the_bucket_at_all_is_gone_here_too(own: OwnNats) -> None:
    url = own.start()
    await provision(url)
    bus = await connect(url, "mirror")
    held = Held()
    await (await bus.jetstream.key_value(BUCKET)).put("lost", b"1")
    async with following(bus, held.apply) as mirror:
        await asyncio.wait_for(mirror.ready.wait(), 10)
        own.stop()
        own.lose_everything()
        own.start()
        await provision(url)
        await until(lambda: held.now == {}, 15)
        assert held.gone == ["lost"]
    await bus.close()


class EarlySign:
    """A watcher that says that everything came before anything did, as the client's does when entries are on their way."""

    def __init__(self, *updates: KeyValue.Entry | None) -> None:
        self._updates = list(updates)

    async def updates(self, timeout: float) -> KeyValue.Entry | None:
        return self._updates.pop(0)


async def test_a_sign_that_comes_too_early_does_not_empty_the_mirror(nats_url: str) -> None:
    bus = await connect(nats_url, "tests")
    changes: list[tuple[str, bytes | None]] = []
    mirror = Mirror(bus, "keys", lambda key, body: changes.append((key, body)))

    def entry(key: str, revision: int) -> KeyValue.Entry:
        return KeyValue.Entry("keys", key, b"%d" % revision, revision, 0, None, None)

    await mirror._read_all(EarlySign(entry("a", 1), entry("b", 2), None), 2)
    await mirror._read_all(EarlySign(None, entry("a", 1), entry("b", 2)), 2)
    assert [key for key, body in changes if body is None] == []
    await mirror._read_all(EarlySign(None, entry("b", 2)), 2)
    assert changes[-1] == ("a", None)
    await bus.close()
