"""A whole bucket is read: what was deleted is not in it, and no sign that comes too early ends the reading."""

from __future__ import annotations

import asyncio

import pytest
from common.bus.buckets import everything, read_bucket, watching
from common.bus.connect import connect
from common.bus.provision import provision
from nats.errors import TimeoutError as NatsTimeout
from nats.js.kv import KeyValue


class Told:
    """A watcher that says these things, and then nothing."""

    def __init__(self, *updates: KeyValue.Entry | None) -> None:
        self._updates = list(updates)

    async def updates(self, timeout: float) -> KeyValue.Entry | None:
        await asyncio.sleep(0)
        if not self._updates:
            raise NatsTimeout
        return self._updates.pop(0)


def entry(key: str, revision: int) -> KeyValue.Entry:
    """A value of a key."""
    return KeyValue.Entry("keys", key, b"%d" % revision, revision, 0, None, None)


async def keys(watcher: Told, last: int) -> list[str]:
    return [found.key async for found in everything(watcher, last)]


async def test_the_sign_and_the_last_revision_are_both_waited_for() -> None:
    one, two = entry("one", 1), entry("two", 2)
    assert await keys(Told(one, two, None), 2) == ["one", "two"]
    assert await keys(Told(None, one, two), 2) == ["one", "two"]
    assert await keys(Told(one, None, two), 2) == ["one", "two"]
    assert await keys(Told(None), 0) == []


async def test_a_last_revision_that_is_gone_is_not_waited_for_for_ever() -> None:
    assert await keys(Told(entry("one", 1), None), 2) == ["one"]


async def test_a_watcher_that_says_nothing_has_read_nothing() -> None:
    with pytest.raises(NatsTimeout):
        await keys(Told(entry("one", 1)), 2)


async def test_values_are_read_and_what_was_deleted_is_not(nats_url: str) -> None:
    await provision(nats_url)
    bus = await connect(nats_url, "tests")
    store = await bus.jetstream.key_value("budgets")
    for name in await read_bucket(bus, "budgets", bytes):
        await store.purge(name)
    await store.put("one", b"1")
    await store.put("two", b"2")
    await store.delete("one")
    for _ in range(30):  # a watcher's sign comes too early once in a while
        assert await read_bucket(bus, "budgets", int) == {"two": 2}
    async with watching(bus, "budgets") as (_, last):
        assert last >= 3
    await bus.close()
