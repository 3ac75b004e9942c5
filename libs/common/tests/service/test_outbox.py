"""The outbox: what was committed is told, in order, to its last state, whatever is away meanwhile; what was not, never."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from common.bus.connect import Bus, connect
from common.bus.provision import provision
from common.contracts.changes import KEY_UPDATED, KeyChanged
from common.contracts.envelope import Envelope
from common.contracts.snapshots import KeySnapshot
from common.contracts.topology import KEYS, KEYS_BUCKET
from common.ids import derived_id
from common.postgres import outbox
from common.postgres.outbox import Message, MessageTooLarge, Relay, add, event, removal, snapshot
from common.postgres.pool import Pool, open_pool
from common.testing.servers import TestDatabase
from nats.js.errors import KeyNotFoundError

from .own_nats import OwnNats
from .waiting import until

AT = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def told(number: int, name: str = "k") -> Message:
    """An event; the same number always makes the same one."""
    content = KeyChanged(api_key_id=str(number), name=name, user_id=None)
    return event("keys.updated", KEY_UPDATED, derived_id("event", str(number)), AT, "/tests", content)


def state(key: str, name: str) -> Message:
    """A snapshot of a key."""
    return snapshot("keys", key, KeySnapshot(id=key, name=name, secrets=()))


@pytest_asyncio.fixture
async def pool(database: TestDatabase) -> AsyncIterator[Pool]:
    """A database with an outbox, exactly as the module's own docstring says it should be."""
    made = await open_pool(database.owner_url, application="tests")
    table = (outbox.__doc__ or "").partition("CREATE TABLE")[2].partition("bytea NOT NULL)")[0]
    await made.execute(textwrap.dedent(f"CREATE TABLE{table}bytea NOT NULL)"))
    yield made
    await made.close()


@pytest_asyncio.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection to an empty bus."""
    made = await connect(nats_url, "tests")
    yield made
    await made.close()


async def commit(pool: Pool, *messages: Message) -> int:
    """One transaction that tells something."""
    async with pool.acquire() as connection, connection.transaction():
        return await add(connection, messages)


async def waiting(pool: Pool) -> int:
    """Rows that are not out yet."""
    return int(await pool.fetchval("SELECT count(*) FROM outbox"))


@asynccontextmanager
async def relaying(*relays: Relay) -> AsyncIterator[None]:
    """Relays that run."""
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)


async def heard(bus: Bus) -> list[str]:
    """The keys that events on the bus are about, in the order of the stream."""
    count = (await bus.jetstream.stream_info(KEYS.name)).state.messages
    found = [await bus.jetstream.get_msg(KEYS.name, seq) for seq in range(1, count + 1)]
    return [Envelope[KeyChanged].model_validate_json(message.data or b"").data.api_key_id for message in found]


async def test_events_are_told_in_the_order_of_their_rows_and_leave_the_table(pool: Pool, bus: Bus) -> None:
    for number in range(0, 450, 3):
        await commit(pool, *[told(number + more) for more in range(3)])
    async with relaying(Relay(pool, bus.jetstream)):
        await until(lambda: empty(pool))
    assert await heard(bus) == [str(number) for number in range(450)]
    first = await bus.jetstream.get_msg(KEYS.name, 1)
    assert first.subject == "keys.updated"
    assert (first.headers or {})["Nats-Msg-Id"] == derived_id("event", "0")


async def test_what_was_rolled_back_is_never_told(pool: Pool, bus: Bus) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await add(connection, [told(1)])
        await transaction.rollback()
    await commit(pool, told(2))
    async with relaying(Relay(pool, bus.jetstream)):
        await until(lambda: empty(pool))
    assert await heard(bus) == ["2"]


async def test_a_bucket_ends_with_exactly_the_last_state(pool: Pool, bus: Bus) -> None:
    for number in range(60):
        await commit(pool, state("a", f"a{number}"), state("b", f"b{number}"))
    await commit(pool, removal("keys", "b"))
    async with relaying(Relay(pool, bus.jetstream)):
        await until(lambda: empty(pool))
    store = await bus.jetstream.key_value("keys")
    assert KeySnapshot.model_validate_json((await store.get("a")).value or b"").name == "a59"
    with pytest.raises(KeyNotFoundError):
        await store.get("b")


async def test_who_waits_is_told_the_revision_that_carries_the_change(pool: Pool, bus: Bus) -> None:
    relay = Relay(pool, bus.jetstream)
    async with relaying(relay):
        row = await commit(pool, state("a", "one"), told(1), state("a", "two"))
        started = asyncio.get_running_loop().time()
        revisions = await relay.published(row, 5.0)
        assert asyncio.get_running_loop().time() - started < 0.9, "waiting should wake the relay"
        store = await bus.jetstream.key_value("keys")
        assert revisions == {"keys": (await store.get("a")).revision}
        row = await commit(pool, removal("keys", "a"))
        gone = await relay.published(row, 5.0)
        assert gone is not None
        assert gone["keys"] > (revisions or {})["keys"]
        row = await commit(pool, removal("keys", "never-there"))
        again = await relay.published(row, 5.0)
        assert again is not None
        assert again["keys"] > gone["keys"]


async def test_an_event_alone_has_no_revision_and_nothing_is_out_at_once(pool: Pool, bus: Bus) -> None:
    relay = Relay(pool, bus.jetstream)
    async with relaying(relay):
        assert await relay.published(await commit(pool, told(1)), 5.0) == {}
        assert await relay.published(await commit(pool), 5.0) == {}


async def test_waiting_ends_in_time_when_nothing_is_published(pool: Pool, bus: Bus) -> None:
    row = await commit(pool, state("a", "one"))
    assert await Relay(pool, bus.jetstream).published(row, 0.3) is None
    assert await waiting(pool) == 1


async def test_what_another_replica_published_is_out_too(pool: Pool, bus: Bus) -> None:
    asked, working = Relay(pool, bus.jetstream), Relay(pool, bus.jetstream)
    row = await commit(pool, state("a", "one"))
    async with relaying(working):
        assert await asked.published(row, 5.0) == {}


async def test_two_relays_at_once_keep_the_order_and_tell_nothing_twice(pool: Pool, bus: Bus) -> None:
    for number in range(900):
        await commit(pool, told(number))
    async with relaying(Relay(pool, bus.jetstream), Relay(pool, bus.jetstream)):
        for number in range(900, 1000):
            await commit(pool, told(number), state("a", f"a{number}"))
        await until(lambda: empty(pool), 30)
    assert await heard(bus) == [str(number) for number in range(1000)]
    last = await (await bus.jetstream.key_value("keys")).get("a")
    assert KeySnapshot.model_validate_json(last.value or b"").name == "a999"


class Slow:
    """A bus over which everything takes its time."""

    def __init__(self, real: Any, seconds: float) -> None:
        self._real = real
        self._seconds = seconds

    async def publish(self, *arguments: Any, **options: Any) -> Any:
        """Publish, later."""
        await asyncio.sleep(self._seconds)
        return await self._real.publish(*arguments, **options)

    async def put(self, *arguments: Any) -> Any:
        """Put into a bucket, later."""
        await asyncio.sleep(self._seconds)
        return await self._real.put(*arguments)

    async def key_value(self, bucket: str) -> Any:
        """A bucket, as slow."""
        return Slow(await self._real.key_value(bucket), self._seconds)


async def test_a_slow_relay_never_puts_an_old_state_over_the_one_that_a_fast_one_told(pool: Pool, bus: Bus) -> None:
    await commit(pool, state("a", "old"))
    slow: Any = Slow(bus.jetstream, 0.5)
    async with relaying(Relay(pool, slow)):
        await asyncio.sleep(0.2)  # it has read the row and is about to tell it
        await commit(pool, state("a", "present"))
        async with relaying(Relay(pool, bus.jetstream)):
            await until(lambda: empty(pool))
            await asyncio.sleep(0.6)
    last = await (await bus.jetstream.key_value("keys")).get("a")
    assert KeySnapshot.model_validate_json(last.value or b"").name == "present"


async def test_an_event_told_again_after_a_crash_is_on_the_bus_once(pool: Pool, bus: Bus) -> None:
    await commit(pool, told(1))
    async with relaying(Relay(pool, bus.jetstream)):
        await until(lambda: empty(pool))
    await commit(pool, told(1), told(2))  # as if the relay had died between the acknowledgement and its commit
    async with relaying(Relay(pool, bus.jetstream)):
        await until(lambda: empty(pool))
    assert await heard(bus) == ["1", "2"]


async def test_a_bus_that_is_away_is_waited_for_and_nothing_is_lost(pool: Pool, tmp_path: Path) -> None:
    own = OwnNats(tmp_path)
    url = own.start()
    try:
        await provision(url)
        bus = await connect(url, "tests")
        relay = Relay(pool, bus.jetstream)
        async with relaying(relay):
            await commit(pool, told(0))
            await until(lambda: empty(pool))
            own.stop()
            for number in range(1, 30):
                await commit(pool, told(number), state("a", f"a{number}"))
            assert await relay.published(await commit(pool, told(30)), 0.5) is None
            assert await waiting(pool) > 0
            own.start()
            await until(lambda: empty(pool), 20)
        assert await heard(bus) == [str(number) for number in range(31)]
        await bus.close()
    finally:
        own.stop()


async def test_what_the_bus_would_refuse_is_refused_before_it_is_committed(pool: Pool, bus: Bus) -> None:
    with pytest.raises(MessageTooLarge, match=r"keys\.updated larger than"):
        await commit(pool, told(1), told(2, "x" * KEYS.max_message_bytes))
    with pytest.raises(MessageTooLarge):
        await commit(pool, state("a", "x" * KEYS_BUCKET.max_value_bytes))
    with pytest.raises(ValueError, match="nothing on the bus takes event nowhere"):
        await commit(pool, Message("event", "nowhere.to.be.found", "1"))
    with pytest.raises(ValueError, match="nothing on the bus takes removal nowhere"):
        await commit(pool, removal("nowhere", "1"))
    for key in ("", "a b", "a..b", ".a", "a*", "ä"):
        with pytest.raises(ValueError, match="not a key of a bucket"):
            await commit(pool, removal("keys", key))
    assert await waiting(pool) == 0


async def test_the_largest_that_is_let_in_is_taken_by_the_bus(pool: Pool, bus: Bus) -> None:
    spare = KEYS.max_message_bytes - 1024 - len(told(1, "").body)
    await commit(pool, told(1, "x" * spare))
    await commit(pool, Message("snapshot", "keys", "a", b"x" * KEYS_BUCKET.max_value_bytes))
    async with relaying(Relay(pool, bus.jetstream)):
        await until(lambda: empty(pool))
    assert await heard(bus) == ["1"]


async def empty(pool: Pool) -> bool:
    """Everything is out."""
    return await waiting(pool) == 0
