"""Makes the streams, buckets and durable consumers of `topology`: here, by a command, and nowhere else.

Running it again changes what differs from the table and touches nothing else; messages are never deleted by it.
"""

from __future__ import annotations

import re

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from common.bus.connect import connect
from common.contracts.topology import BUCKETS, CONSUMERS, STREAMS, Bucket, Consumer, Stream
from common.errors import TollgateError

MINIMUM_SERVER = (2, 14)
"""From here on file errors are surfaced and a stream that cannot write is frozen, not silently emptied."""


class ServerTooOld(TollgateError):
    """The NATS server lacks what durability depends on."""


async def provision(nats_url: str, replicas: int = 1) -> list[str]:
    """Create or update everything; returns the names of what was created."""
    bus = await connect(nats_url, "provision")
    try:
        check_version(str(bus.client.connected_server_version))
        created: list[str] = []
        for stream in STREAMS:
            created += await _stream(bus.jetstream, stream, replicas)
        for bucket in BUCKETS:
            created += await _bucket(bus.jetstream, bucket, replicas)
        for consumer in CONSUMERS:
            created += await _consumer(bus.jetstream, consumer)
        return created
    finally:
        await bus.close()


def check_version(version: str) -> None:
    """ServerTooOld when a server is older than `MINIMUM_SERVER`."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < MINIMUM_SERVER:
        needed = ".".join(map(str, MINIMUM_SERVER))
        raise ServerTooOld(f"NATS server {version} is too old: {needed} or newer is needed")


def stream_config(stream: Stream, replicas: int) -> StreamConfig:
    """A row of the table as JetStream takes it."""
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD if stream.discard_old else DiscardPolicy.NEW,
        max_age=stream.max_age_seconds,
        max_bytes=stream.max_bytes,
        max_msg_size=stream.max_message_bytes,
        duplicate_window=stream.duplicate_window_seconds,
        num_replicas=replicas,
        deny_delete=not stream.may_purge,
        deny_purge=not stream.may_purge,
        allow_rollup_hdrs=False,
    )


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """A row of the table as JetStream takes it."""
    return ConsumerConfig(
        name=consumer.service,
        durable_name=consumer.service,
        filter_subject=consumer.subjects[0] if len(consumer.subjects) == 1 else None,
        filter_subjects=list(consumer.subjects) if len(consumer.subjects) > 1 else None,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=consumer.ack_wait_seconds,
        max_deliver=-1,
        max_ack_pending=consumer.max_in_flight,
    )


async def _stream(jetstream: JetStreamContext, row: Stream, replicas: int) -> list[str]:
    config = stream_config(row, replicas)
    try:
        await jetstream.stream_info(row.name)
    except NotFoundError:
        await jetstream.add_stream(config)
        return [f"stream {row.name}"]
    await jetstream.update_stream(config)
    return []


async def _bucket(jetstream: JetStreamContext, row: Bucket, replicas: int) -> list[str]:
    try:
        bucket = await jetstream.stream_info(f"KV_{row.name}")
    except NotFoundError:
        await jetstream.create_key_value(
            KeyValueConfig(
                bucket=row.name,
                history=1,
                storage=StorageType.FILE,
                max_bytes=row.max_bytes,
                max_value_size=row.max_value_bytes,
                replicas=replicas,
            )
        )
        return [f"bucket {row.name}"]
    # A bucket is a stream; what else makes it one stays as the client library made it.
    await jetstream.update_stream(
        bucket.config.evolve(max_bytes=row.max_bytes, max_msg_size=row.max_value_bytes, num_replicas=replicas)
    )
    return []


async def _consumer(jetstream: JetStreamContext, row: Consumer) -> list[str]:
    try:
        await jetstream.consumer_info(row.stream, row.service)
        created: list[str] = []
    except NotFoundError:
        created = [f"consumer {row.service} on {row.stream}"]
    await jetstream.add_consumer(row.stream, consumer_config(row))
    return created
