"""Consuming: acknowledged after the commit, never before; poison alone goes to the DLQ; all else comes again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from common.bus.connect import Bus, connect
from common.bus.consume import BatchConsumer, ConsumerMetrics, Handle, Received, start_broker
from common.bus.provision import provision
from common.contracts.topology import AUDIT, DLQ, USAGE, consumer_of
from faststream.nats import NatsBroker
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from prometheus_client import CollectorRegistry

from .waiting import until

ROW = consumer_of("billing")
SUBJECT = "usage.recorded.openai.k1"


@dataclass
class Bench:
    """A bus with events, and the counters of the consumer that hears them."""

    url: str
    bus: Bus
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def publish(self, *bodies: bytes) -> None:
        """Tell events; their ids are `id-0`, `id-1` …"""
        for number, body in enumerate(bodies):
            await self.bus.jetstream.publish(SUBJECT, body, headers={"Nats-Msg-Id": f"id-{number}"})

    async def consumer(self) -> ConsumerInfo:
        """What the server says of the consumer."""
        info: ConsumerInfo = await self.bus.jetstream.consumer_info(USAGE.name, ROW.service)
        return info

    async def is_done(self) -> bool:
        """Everything was delivered and acknowledged."""
        info = await self.consumer()
        return info.num_pending == 0 and info.num_ack_pending == 0

    async def dead(self) -> list[Msg]:
        """What lies in the DLQ, oldest first."""
        count = (await self.bus.jetstream.stream_info(DLQ.name)).state.messages
        if not count:
            return []
        subscription = await self.bus.jetstream.pull_subscribe("dlq.>", stream=DLQ.name)
        found = await subscription.fetch(count, timeout=5)
        await subscription.unsubscribe()
        return found

    def count(self, name: str) -> float:
        """A counter of the consumer."""
        return self.registry.get_sample_value(f"tollgate_{name}_total") or 0.0

    @asynccontextmanager
    async def consuming(self, handle: Handle) -> AsyncIterator[None]:
        """Consume with this handler."""
        broker = NatsBroker(self.url)
        BatchConsumer(ROW, handle, ConsumerMetrics(self.registry), self.bus).subscribe(broker)
        await start_broker(broker)
        try:
            yield
        finally:
            await broker.stop()


@pytest_asyncio.fixture
async def bench(nats_url: str) -> AsyncIterator[Bench]:
    """An empty bus to consume from."""
    bus = await connect(nats_url, "tests")
    yield Bench(nats_url, bus)
    await bus.close()


class Ledger:
    """A handler that commits a batch whole or fails with the error that a body asks for."""

    def __init__(self, errors: dict[bytes, BaseException] | None = None, failures: int = 10**9) -> None:
        self.committed: list[bytes] = []
        self.batches: list[int] = []
        self.received: list[Received] = []
        self._errors = errors or {}
        self._left = failures

    async def handle(self, batch: Sequence[Received]) -> None:
        """Take a batch."""
        self.batches.append(len(batch))
        wrong = [self._errors[one.body] for one in batch if one.body in self._errors]
        if wrong and self._left > 0:
            self._left -= 1
            raise wrong[0]
        self.committed += [one.body for one in batch]
        self.received += batch


async def test_events_come_in_batches_with_their_subject_id_and_place(bench: Bench) -> None:
    bodies = [b"%d" % number for number in range(700)]
    await bench.publish(*bodies)
    await bench.bus.jetstream.publish(SUBJECT, b"without an id")
    ledger = Ledger()
    async with bench.consuming(ledger.handle):
        await until(bench.is_done)
    assert ledger.committed == [*bodies, b"without an id"]
    assert len(ledger.batches) < 100
    assert max(ledger.batches) <= ROW.batch
    first, last = ledger.received[0], ledger.received[-1]
    assert (first.subject, first.event_id, first.sequence) == (SUBJECT, "id-0", 1)
    assert (last.event_id, last.sequence) == ("USAGE-701", 701)
    assert bench.count("consumed_events") == 701


async def test_a_fetch_that_fails_while_the_next_consumer_is_starting_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    subscription, failed = JetStreamContext.PullSubscription, asyncio.Event()
    fetch, subscribe = subscription.fetch, JetStreamContext.pull_subscribe
    opened: list[Any] = []

    async def fetch_after_a_failure(self: Any, *given: Any, **named: Any) -> list[Msg]:
        if not failed.is_set():
            failed.set()
            raise TimeoutError
        return await fetch(self, *given, **named)

    async def subscribe_slowly(self: Any, *given: Any, **named: Any) -> Any:
        opened.append(await subscribe(self, *given, **named))
        if len(opened) == 2:
            async with asyncio.timeout(10):
                await failed.wait()
        return opened[-1]

    monkeypatch.setattr(subscription, "fetch", fetch_after_a_failure)
    monkeypatch.setattr(JetStreamContext, "pull_subscribe", subscribe_slowly)
    await bench.publish(b"1")
    broker, ledger = NatsBroker(bench.url, logger=logging.getLogger("tests")), Ledger()
    for row in (consumer_of("keyvault", USAGE.name), consumer_of("keyvault", AUDIT.name)):
        BatchConsumer(row, ledger.handle, ConsumerMetrics(CollectorRegistry()), bench.bus).subscribe(broker)
    await start_broker(broker)
    try:
        await until(lambda: ledger.committed == [b"1"])
    finally:
        await broker.stop()
    assert not [line for line in caplog.records if line.exc_info]


async def test_nothing_is_acknowledged_before_the_handler_has_committed(bench: Bench) -> None:
    await bench.publish(b"1")
    entered, may_commit = asyncio.Event(), asyncio.Event()

    async def handle(batch: Sequence[Received]) -> None:
        entered.set()
        await may_commit.wait()

    async with bench.consuming(handle):
        await asyncio.wait_for(entered.wait(), 10)
        await asyncio.sleep(0.2)
        assert (await bench.consumer()).num_ack_pending == 1
        may_commit.set()
        await until(bench.is_done)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("breaks the contract"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        asyncpg.UniqueViolationError("breaks a constraint"),
        asyncpg.NumericValueOutOfRangeError("does not fit"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_poison_alone_goes_whole_to_the_dlq_and_its_neighbours_are_committed(
    bench: Bench, error: BaseException
) -> None:
    bodies = [b"%d" % number for number in range(40)]
    for position in (0, 17, 18):
        bodies[position] = b"poison \xff\x00 %d" % position
    poison = [bodies[position] for position in (0, 17, 18)]
    await bench.publish(*bodies)
    ledger = Ledger(dict.fromkeys(poison, error))
    async with bench.consuming(ledger.handle):
        await until(bench.is_done)
    assert sorted(ledger.committed) == sorted(set(bodies) - set(poison))
    dead = await bench.dead()
    assert sorted(message.data for message in dead) == sorted(poison)
    headers = next(message.headers for message in dead if message.data == poison[1])
    assert headers is not None
    assert headers["Nats-Msg-Id"] == "billing/id-17"
    assert (headers["Tollgate-Subject"], headers["Tollgate-Sequence"]) == (SUBJECT, "18")
    assert headers["Tollgate-Error"].startswith(f"{type(error).__name__}: ")
    assert {message.subject for message in dead} == {"dlq.billing"}
    assert (bench.count("dead_letters"), bench.count("consumed_events")) == (3, 37)


async def test_an_error_of_several_lines_stands_in_one_header(bench: Bench) -> None:
    await bench.publish(b"poison")
    ledger = Ledger({b"poison": ValueError("one\r\ntwo\nX-Forged: yes" + "!" * 2000)})
    async with bench.consuming(ledger.handle):
        await until(bench.is_done)
    [message] = await bench.dead()
    assert message.headers is not None
    assert "X-Forged" not in message.headers
    assert len(message.headers["Tollgate-Error"]) <= 500


@pytest.mark.parametrize(
    "error",
    [
        OSError("the database is away"),
        TimeoutError(),
        asyncpg.DeadlockDetectedError("two at once"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        AttributeError("a bug of ours"),
        KeyError("a bug of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_time_or_a_release_may_cure_comes_again_and_is_never_thrown_away(
    bench: Bench, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    delayed: list[dict[str, Any]] = []

    class Lines:
        def warning(self, event: str, **fields: Any) -> None:
            delayed.append({"event": event, **fields})

    monkeypatch.setattr("common.bus.consume.log", Lines())
    await bench.publish(b"1", b"2", b"3")
    ledger = Ledger({b"2": error}, failures=2)
    async with bench.consuming(ledger.handle):
        await until(bench.is_done)
    assert sorted(ledger.committed) == [b"1", b"2", b"3"]
    assert await bench.dead() == []
    assert bench.count("delayed_events") >= 2
    assert {line["event"] for line in delayed} == {"batch_delayed"}
    is_bug = isinstance(error, (AttributeError, KeyError))
    assert [line["exc_info"] for line in delayed] == [is_bug] * 2


async def test_poison_waits_while_the_dlq_is_away(bench: Bench) -> None:
    await bench.bus.jetstream.delete_stream(DLQ.name)
    await bench.publish(b"poison", b"1")
    ledger = Ledger({b"poison": ValueError("no")})
    async with bench.consuming(ledger.handle):
        await until(lambda: ledger.committed == [b"1"])
        await asyncio.sleep(0.3)
        assert not await bench.is_done()
        assert bench.count("dead_letters") == 0
        await provision(bench.url)
        await until(bench.is_done)
    assert [message.data for message in await bench.dead()] == [b"poison"]


async def test_what_was_not_acknowledged_is_delivered_to_the_next_process(bench: Bench) -> None:
    await bench.publish(b"1", b"2")
    dying = Ledger({b"1": OSError("the database is away")})
    async with bench.consuming(dying.handle):
        await until(lambda: bool(dying.batches))
    assert dying.committed == []
    bench.registry = CollectorRegistry()
    ledger = Ledger()
    async with bench.consuming(ledger.handle):
        await until(bench.is_done)
    assert sorted(ledger.committed) == [b"1", b"2"]
