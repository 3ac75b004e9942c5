"""The stream compared with what is booked: SQL for how far that went and what was missing, and the stream's headers.

An event is accounted for when its id is among the booked ones (a repeat has the same id) or its sequence among the dead
letters of billing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from common.contracts.envelope import MESSAGE_ID_HEADER
from common.contracts.topology import DLQ, USAGE, consumer_of
from common.postgres.pool import Connection
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

_FETCH_SECONDS = 2.0
_IDLE_SECONDS = 60.0


class Told(NamedTuple):
    """An event of the stream: where it stands, and its id."""

    sequence: int
    event_id: str


async def audited_up_to(connection: Connection) -> int:
    """The last stream sequence that was compared; 0 before the first."""
    return int(await connection.fetchval("SELECT sequence FROM audited_stream") or 0)


async def note(connection: Connection, sequence: int, missing: Sequence[Told], at: datetime) -> None:
    """Note how far was compared, and what was missing on the way."""
    await connection.execute(
        "INSERT INTO audited_stream (sequence, audited_at) VALUES ($1, $2)"
        " ON CONFLICT (is_only) DO UPDATE SET sequence = EXCLUDED.sequence, audited_at = EXCLUDED.audited_at",
        sequence,
        at,
    )
    await connection.execute(
        "INSERT INTO stream_gaps (sequence, event_id, found_at)"
        " SELECT sequence, event_id, $3 FROM unnest($1::bigint[], $2::text[]) AS m (sequence, event_id)"
        " ON CONFLICT DO NOTHING",
        [one.sequence for one in missing],
        [one.event_id for one in missing],
        at,
    )


async def unbooked(connection: Connection, events: Sequence[Told]) -> list[Told]:
    """Those of some events whose id is not booked."""
    ids = {_uuid(one.event_id): one for one in events}
    rows = await connection.fetch(
        "SELECT event_id FROM usage_event_ids WHERE event_id = ANY($1::uuid[])", [known for known in ids if known]
    )
    booked = {row["event_id"] for row in rows}
    return [one for one in events if _uuid(one.event_id) not in booked]


async def forget_booked(connection: Connection) -> int:
    """Forget gaps whose event was booked after all; how many are left."""
    await connection.execute(
        "DELETE FROM stream_gaps AS g USING usage_event_ids AS e WHERE e.event_id::text = g.event_id"
    )
    return int(await connection.fetchval("SELECT count(*) FROM stream_gaps"))


async def acknowledged_up_to(jetstream: JetStreamContext) -> int:
    """The stream sequence up to which billing has acknowledged everything."""
    row = consumer_of("billing")
    floor = (await jetstream.consumer_info(row.stream, row.service)).ack_floor
    return int(floor.stream_seq) if floor is not None else 0


async def told_from(jetstream: JetStreamContext, sequence: int, limit: int) -> list[Told]:
    """At most so many events of the stream, from a sequence on: their headers alone."""
    return await _headers(jetstream, USAGE.name, consumer_of("billing").subjects[0], sequence, limit)


async def dead_sequences(jetstream: JetStreamContext) -> set[int]:
    """The stream sequences of all events that lie in the DLQ as billing's."""
    found: set[int] = set()
    sequence = 1
    while some := await _letters(jetstream, sequence):
        found.update(at for _, at in some)
        sequence = some[-1][0] + 1
    return found


async def _letters(jetstream: JetStreamContext, sequence: int) -> list[tuple[int, int]]:
    messages = await _messages(jetstream, DLQ.name, "dlq.billing", sequence, 1_000)
    return [(number, int(headers.get("Tollgate-Sequence", "0"))) for number, headers in messages]


async def _headers(jetstream: JetStreamContext, stream: str, subject: str, sequence: int, limit: int) -> list[Told]:
    messages = await _messages(jetstream, stream, subject, sequence, limit)
    # One that was told again from the DLQ: `replay/<letter>/<event id>`.
    return [Told(number, headers.get(MESSAGE_ID_HEADER, "").rpartition("/")[2]) for number, headers in messages]


async def _messages(
    jetstream: JetStreamContext, stream: str, subject: str, sequence: int, limit: int
) -> list[tuple[int, dict[str, str]]]:
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=sequence,
        ack_policy=AckPolicy.NONE,
        filter_subject=subject,
        headers_only=True,
        inactive_threshold=_IDLE_SECONDS,
    )
    made = await jetstream.add_consumer(stream, config)
    puller = await jetstream.pull_subscribe_bind(consumer=made.name, stream=stream)
    left = min(limit, made.num_pending or 0)
    found: list[tuple[int, dict[str, str]]] = []
    try:
        while left > 0:
            some = await puller.fetch(min(left, 500), _FETCH_SECONDS)
            found += [(one.metadata.sequence.stream, one.headers or {}) for one in some]
            left -= len(some)
    except NatsTimeoutError:
        pass  # what did not come is asked for the next time
    finally:
        await puller.unsubscribe()
        await jetstream.delete_consumer(stream, made.name)
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
