"""SQL of a rebuild, and the stream that it reads. Runs as the owner of the tables, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from uuid import UUID

from common.bus.consume import Received
from common.contracts.envelope import MESSAGE_ID_HEADER
from common.contracts.topology import USAGE, consumer_of
from common.postgres.pool import Connection
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

_BATCH = 500
_FETCH_SECONDS = 2.0
_LONG_SECONDS = 3_600.0

Prints = dict[str, tuple[int, Decimal]]
"""By table: its rows (as far as the stream tells them), and a sum of their hashes, whatever their order."""


async def act_in_schema(connection: Connection) -> None:
    """Mean billing's tables from now on: an owner's search path leads elsewhere."""
    await connection.execute("SET LOCAL search_path TO billing")


async def begin(connection: Connection) -> None:
    """Keep beside what the stream does not tell, and empty the books."""
    await connection.execute("SELECT begin_rebuild()", timeout=_LONG_SECONDS)


async def end(connection: Connection) -> None:
    """Put back what was kept."""
    await connection.execute("SELECT end_rebuild()", timeout=_LONG_SECONDS)


async def kept_among(connection: Connection, event_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these events were booked before."""
    rows = await connection.fetch("SELECT kept AS event_id FROM kept_among($1::uuid[]) AS kept", list(event_ids))
    return {row["event_id"] for row in rows}


async def first_sequence(connection: Connection) -> int | None:
    """The stream sequence of the first event that is booked; None while nothing is."""
    found: int | None = await connection.fetchval("SELECT min(stream_sequence) FROM usage_event_ids")
    return found


async def prints(connection: Connection) -> Prints:
    """What the books say, as figures that are equal when the books are: the ledger by request, account, month and
    statement; charges; months; providers' days; quotas; the counters of keys, users and teams."""
    rows = await connection.fetch(
        "WITH told (name, line) AS ("
        " SELECT 'ledger_entries', concat_ws('|', request_id, account, year, month, stated_year, stated_month,"
        "  trim_scale(sum(amount))) FROM ledger_entries"
        "  GROUP BY request_id, account, year, month, stated_year, stated_month HAVING sum(amount) <> 0"
        " UNION ALL SELECT 'usage_event_ids', event_id::text FROM usage_event_ids"
        " UNION ALL SELECT 'charges', concat_ws('|', request_id, event_id, state, api_key_id, user_id, team_id, year,"
        "  month, trim_scale(cost), trim_scale(operator_cost), trim_scale(counted), input_tokens, output_tokens, settled)"
        "  FROM charges"
        " UNION ALL SELECT 'monthly_usage', concat_ws('|', api_key_id, user_id, year, month, total_requests,"
        "  input_tokens, output_tokens, trim_scale(total_cost)) FROM monthly_usage WHERE total_requests <> 0"
        " UNION ALL SELECT 'provider_days', concat_ws('|', day, provider_type, model, is_simulated, requests,"
        "  input_tokens, output_tokens, trim_scale(cost)) FROM provider_days WHERE requests <> 0"
        " UNION ALL SELECT 'quota_calls', concat_ws('|', scope, year, month, calls) FROM quota_calls"
        " UNION ALL SELECT 'counters', concat_ws('|', scope, period, trim_scale(total), trim_scale(settled)) FROM counters"
        "  WHERE scope ~ '^(key|user|team):[^/]+$' AND period ~ '^[0-9]{4}-[0-9]{2}$')"
        " SELECT name, count(*) AS rows, sum(hashtextextended(line, 0)::numeric) AS hash FROM told GROUP BY name",
        timeout=_LONG_SECONDS,
    )
    return {row["name"]: (row["rows"], row["hash"]) for row in rows}


async def first_in_stream(jetstream: JetStreamContext) -> int:
    """The first sequence that the stream still has."""
    return int((await jetstream.stream_info(USAGE.name)).state.first_seq)


async def replay(jetstream: JetStreamContext) -> AsyncIterator[list[Received]]:
    """Every usage event of the stream from its beginning, in batches."""
    subject = consumer_of("billing").subjects[0]
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, filter_subject=subject, inactive_threshold=60.0
    )
    made = await jetstream.add_consumer(USAGE.name, config)
    puller = await jetstream.pull_subscribe_bind(consumer=made.name, stream=USAGE.name)
    left = made.num_pending or 0
    try:
        while left > 0:
            try:
                some = await puller.fetch(min(_BATCH, left), _FETCH_SECONDS)
            except NatsTimeoutError:
                left = (await puller.consumer_info()).num_pending or 0
                continue
            left -= len(some)
            yield [
                Received(
                    one.subject, one.data, (one.headers or {}).get(MESSAGE_ID_HEADER, ""), one.metadata.sequence.stream
                )
                for one in some
            ]
    finally:
        await puller.unsubscribe()
        await jetstream.delete_consumer(USAGE.name, made.name)
