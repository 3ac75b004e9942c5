"""Provisioning makes the bus exactly what the table says, however often it is run, and loses no message by it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from common.bus.connect import Bus, connect
from common.bus.provision import MINIMUM_SERVER, ServerTooOld, check_version, consumer_config, provision, stream_config
from common.contracts.topology import BUCKETS, CONSUMERS, KEYS_BUCKET, STREAMS, USAGE, Consumer, Stream
from nats.js.api import AckPolicy, DiscardPolicy, RetentionPolicy, StorageType


@pytest_asyncio.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection to a NATS that was just provided."""
    made = await connect(nats_url, "tests")
    yield made
    await made.close()


@pytest.mark.parametrize("row", STREAMS, ids=lambda row: row.name)
async def test_a_stream_is_as_the_table_says(bus: Bus, row: Stream) -> None:
    config = (await bus.jetstream.stream_info(row.name)).config
    assert (config.subjects, config.max_age, config.max_bytes) == (
        list(row.subjects),
        row.max_age_seconds,
        row.max_bytes,
    )
    assert (config.max_msg_size, config.duplicate_window) == (row.max_message_bytes, row.duplicate_window_seconds)
    assert (config.storage, config.retention) == (StorageType.FILE, RetentionPolicy.LIMITS)
    assert config.discard == (DiscardPolicy.OLD if row.discard_old else DiscardPolicy.NEW)
    assert (config.deny_delete, config.deny_purge) == (not row.may_purge, not row.may_purge)


async def test_buckets_are_as_the_table_says(bus: Bus) -> None:
    for row in BUCKETS:
        config = (await bus.jetstream.stream_info(f"KV_{row.name}")).config
        assert (config.max_bytes, config.max_msg_size, config.max_msgs_per_subject) == (
            row.max_bytes,
            row.max_value_bytes,
            1,
        )
        assert config.storage == StorageType.FILE


@pytest.mark.parametrize("row", CONSUMERS, ids=lambda row: row.service)
async def test_a_consumer_delivers_from_the_first_event_until_acknowledged(bus: Bus, row: Consumer) -> None:
    config = (await bus.jetstream.consumer_info(row.stream, row.service)).config
    assert config.ack_policy == AckPolicy.EXPLICIT
    assert config.durable_name == row.service
    assert (config.filter_subjects or [config.filter_subject]) == list(row.subjects)
    assert (config.ack_wait, config.max_ack_pending, config.max_deliver) == (
        row.ack_wait_seconds,
        row.max_in_flight,
        -1,
    )
    assert config.max_ack_pending is not None
    assert config.max_ack_pending >= row.batch


async def test_nothing_stands_on_the_bus_but_the_table(bus: Bus) -> None:
    names = {info.config.name for info in await bus.jetstream.streams_info()}
    assert names >= {row.name for row in STREAMS} | {f"KV_{row.name}" for row in BUCKETS}
    consumers = {
        (row.stream, info.name) for row in CONSUMERS for info in await bus.jetstream.consumers_info(row.stream)
    }
    assert consumers == {(row.stream, row.service) for row in CONSUMERS}


async def test_providing_again_creates_nothing_and_keeps_what_was_told(bus: Bus, nats_url: str) -> None:
    await bus.jetstream.publish("usage.recorded.openai.k", b"1")
    await (await bus.jetstream.key_value(KEYS_BUCKET.name)).put("k", b"2")
    assert await provision(nats_url) == []
    assert (await bus.jetstream.stream_info(USAGE.name)).state.messages == 1
    assert (await (await bus.jetstream.key_value(KEYS_BUCKET.name)).get("k")).value == b"2"


async def test_providing_again_puts_right_what_somebody_changed(bus: Bus, nats_url: str) -> None:
    jetstream = bus.jetstream
    await jetstream.update_stream(stream_config(USAGE, 1).evolve(max_bytes=1 << 20, discard=DiscardPolicy.OLD))
    await jetstream.add_consumer(USAGE.name, consumer_config(CONSUMERS[0]).evolve(ack_wait=5))
    bucket = await jetstream.stream_info("KV_keys")
    await jetstream.update_stream(bucket.config.evolve(max_msg_size=10))
    assert await provision(nats_url) == []
    usage = (await jetstream.stream_info(USAGE.name)).config
    assert (usage.max_bytes, usage.discard) == (USAGE.max_bytes, DiscardPolicy.NEW)
    assert (await jetstream.consumer_info(USAGE.name, CONSUMERS[0].service)).config.ack_wait == CONSUMERS[
        0
    ].ack_wait_seconds
    assert (await jetstream.stream_info("KV_keys")).config.max_msg_size == KEYS_BUCKET.max_value_bytes


async def test_what_is_missing_is_created_and_named(bus: Bus, nats_url: str) -> None:
    await bus.jetstream.delete_consumer(USAGE.name, "billing")
    await bus.jetstream.delete_stream("KV_budgets")
    await bus.jetstream.delete_stream("ALERTS")
    assert sorted(await provision(nats_url)) == ["bucket budgets", "consumer billing on USAGE", "stream ALERTS"]


def test_a_server_that_may_empty_a_stream_silently_is_refused() -> None:
    for version in ("2.10.29", "2.9.0", "1.99", "2.13.9-beta.1"):
        with pytest.raises(ServerTooOld, match=r"is too old: 2\.14 or newer is needed"):
            check_version(version)
    for version in ("2.14.0", "2.14.0-RC.1", "v2.15.1", "3.0"):
        check_version(version)
    assert MINIMUM_SERVER == (2, 14)
