"""The outbox: what a transaction has to tell is a row of that transaction; one relay publishes the rows in order.

A service that commits and then publishes can die between the two. Here both are one commit, and the relay repeats until
the bus has acknowledged: an event is told at least once (its id drops repeats), a snapshot at least in its last state.
The table, one per schema:

    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL,      -- 'event', 'snapshot', 'removal'
        target text NOT NULL,    -- subject of an event; bucket of a snapshot
        key text NOT NULL,       -- id of an event; key of a snapshot
        body bytea NOT NULL)

Rows leave the table once published. The relay remembers, for those who wait, which revision each snapshot got.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg
import structlog
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue
from pydantic import BaseModel

from common.contracts.envelope import Contract, Envelope, event_headers
from common.contracts.snapshots import Snapshot
from common.contracts.topology import BUCKETS, STREAMS, Stream
from common.errors import Unprocessable
from common.outages import AWAY
from common.postgres.pool import Connection, Pool

log = structlog.get_logger()

_BATCH = 200
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_PUBLISH_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.1
_REMEMBERED = 10_000

_HEADER_BYTES = 1024
_BUCKET_KEY = re.compile(r"[-/_=a-zA-Z0-9]+(?:\.[-/_=a-zA-Z0-9]+)*")

Kind = Literal["event", "snapshot", "removal"]


class MessageTooLarge(Unprocessable):
    """A change whose telling is larger than its stream or bucket takes."""

    code = "too_large"


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell."""

    kind: Kind
    target: str
    key: str
    body: bytes = b""


def event(subject: str, event_type: str, event_id: str, at: datetime, source: str, data: Contract) -> Message:
    """An event for a stream, in its envelope."""
    envelope = Envelope[Any](id=event_id, source=source, type=event_type, time=at, data=data)
    return Message("event", subject, event_id, _encode(envelope))


def snapshot(bucket: str, key: str, state: Snapshot) -> Message:
    """The present state of one thing, for a bucket."""
    return Message("snapshot", bucket, key, _encode(state))


def removal(bucket: str, key: str) -> Message:
    """One thing is no more."""
    return Message("removal", bucket, key)


async def add(connection: Connection, messages: Sequence[Message]) -> int:
    """Write messages into the caller's transaction; returns the id of the last row (0 when there was none).

    Raises MessageTooLarge for what the bus would refuse: committed, it would stand in the way of all that follow.
    """
    if not messages:
        return 0
    for message in messages:
        _check(message)
    rows = await connection.fetch(
        "INSERT INTO outbox (kind, target, key, body)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) RETURNING id",
        [message.kind for message in messages],
        [message.target for message in messages],
        [message.key for message in messages],
        [message.body for message in messages],
    )
    return max(int(row["id"]) for row in rows)


class Relay:
    """Publishes the outbox of one schema. Every replica runs one; an advisory lock keeps them in turn."""

    def __init__(self, pool: Pool, jetstream: JetStreamContext) -> None:
        self._pool = pool
        self._jetstream = jetstream
        self._buckets: dict[str, KeyValue] = {}
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._outcomes: dict[int, tuple[str, int]] = {}

    async def run(self) -> None:
        """Publish until cancelled; an outage of the bus or the database is waited out."""
        while True:
            try:
                published = await self._publish_batch()
            except (*AWAY, NatsError) as error:
                log.warning("outbox_waits", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if published < _BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await self._wake.wait()
                self._wake.clear()

    async def published(self, last_id: int, timeout_seconds: float) -> dict[str, int] | None:
        """Wait until a committed row is out: the revision that each bucket then had, or None when time ran out.

        A row that another replica's relay published is out, too, but its revision is not known here.
        """
        if last_id == 0:
            return {}
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                while last_id not in self._outcomes and await self._is_waiting(last_id):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_AGAIN_SECONDS), self._progress:
                            await self._progress.wait()
        except TimeoutError:
            return None
        revisions: dict[str, int] = {}
        for bucket, revision in (outcome for row_id, outcome in self._outcomes.items() if row_id <= last_id):
            revisions[bucket] = max(revision, revisions.get(bucket, 0))
        revisions.pop("", None)
        return revisions

    async def _is_waiting(self, row_id: int) -> bool:
        return bool(await self._pool.fetchval("SELECT EXISTS (SELECT 1 FROM outbox WHERE id = $1)", row_id))

    async def _publish_batch(self) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.outbox'))")
            rows = await connection.fetch("SELECT id, kind, target, key, body FROM outbox ORDER BY id LIMIT $1", _BATCH)
            outcomes = {int(row["id"]): await self._publish(row) for row in rows}
            await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", list(outcomes))
        async with self._progress:
            self._outcomes.update(outcomes)
            for stale in list(self._outcomes)[: max(0, len(self._outcomes) - _REMEMBERED)]:
                del self._outcomes[stale]
            self._progress.notify_all()
        return len(rows)

    async def _publish(self, row: asyncpg.Record) -> tuple[str, int]:
        """Publish one row; the bucket and revision of a snapshot, `("", sequence)` of an event."""
        target, key, body = str(row["target"]), str(row["key"]), bytes(row["body"])
        if row["kind"] == "event":
            ack = await self._jetstream.publish(target, body, timeout=_PUBLISH_SECONDS, headers=event_headers(key))
            return "", ack.seq
        bucket = await self._bucket(target)
        if row["kind"] == "snapshot":
            return target, await bucket.put(key, body)
        await bucket.delete(key)
        try:
            return target, int((await bucket.get(key)).revision or 0)
        except KeyNotFoundError as error:
            return target, int(error.entry.revision or 0)

    async def _bucket(self, name: str) -> KeyValue:
        if name not in self._buckets:
            self._buckets[name] = await self._jetstream.key_value(name)
        return self._buckets[name]


def _check(message: Message) -> None:
    most = _most_bytes(message)
    if message.kind != "event" and not _BUCKET_KEY.fullmatch(message.key):
        raise ValueError(f"not a key of a bucket: {message.key!r}")
    if len(message.body) > most:
        raise MessageTooLarge(f"this makes {message.target} larger than {most} bytes")


def _most_bytes(message: Message) -> int:
    """What the table of the bus allows; ValueError where it has no such place, which is a bug."""
    sizes = [row.max_value_bytes for row in BUCKETS if row.name == message.target]
    if message.kind == "event":
        sizes = [row.max_message_bytes - _HEADER_BYTES for row in STREAMS if _covers(row, message.target)]
    if not sizes:
        raise ValueError(f"nothing on the bus takes {message.kind} {message.target}")
    return sizes[0]


def _covers(stream: Stream, subject: str) -> bool:
    return any(subject.startswith(each.removesuffix(">")) for each in stream.subjects)


def _encode(state: BaseModel) -> bytes:
    return state.model_dump_json().encode()
