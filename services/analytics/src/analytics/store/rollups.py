"""SQL for the hourly rollups: added to, and summed up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from common.postgres.pool import Connection

from analytics.domain.buckets import BucketResult, Span, Wanted
from analytics.domain.rollups import DayCost, Measures, ModelCost, RollupKey


async def add(connection: Connection, differences: Mapping[RollupKey, Measures]) -> None:
    """Add differences to the rollups, in the order of their key."""
    rows = [(*key, *differences[key]) for key in sorted(differences, key=_order)]
    await connection.execute(
        "INSERT INTO rollups_hourly AS r (hour, api_key_id, user_id, team_id, provider_type, model, source, operation,"
        " requests, completed, failed, cancelled, cached, tracked, input_tokens, cached_input_tokens, output_tokens,"
        " reasoning_tokens, audio_input_tokens, audio_output_tokens, total_tokens, latency_ms, cost, operator_cost)"
        " SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"
        " $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],"
        " $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[],"
        " $21::bigint[], $22::bigint[], $23::numeric[], $24::numeric[])"
        " ON CONFLICT (hour, api_key_id, user_id, team_id, provider_type, model, source, operation) DO UPDATE SET"
        " requests = r.requests + EXCLUDED.requests, completed = r.completed + EXCLUDED.completed,"
        " failed = r.failed + EXCLUDED.failed, cancelled = r.cancelled + EXCLUDED.cancelled,"
        " cached = r.cached + EXCLUDED.cached, tracked = r.tracked + EXCLUDED.tracked,"
        " input_tokens = r.input_tokens + EXCLUDED.input_tokens,"
        " cached_input_tokens = r.cached_input_tokens + EXCLUDED.cached_input_tokens,"
        " output_tokens = r.output_tokens + EXCLUDED.output_tokens,"
        " reasoning_tokens = r.reasoning_tokens + EXCLUDED.reasoning_tokens,"
        " audio_input_tokens = r.audio_input_tokens + EXCLUDED.audio_input_tokens,"
        " audio_output_tokens = r.audio_output_tokens + EXCLUDED.audio_output_tokens,"
        " total_tokens = r.total_tokens + EXCLUDED.total_tokens, latency_ms = r.latency_ms + EXCLUDED.latency_ms,"
        " cost = r.cost + EXCLUDED.cost, operator_cost = r.operator_cost + EXCLUDED.operator_cost",
        *(list(column) for column in zip(*rows, strict=True)),
    )


async def by_model(connection: Connection, user_id: str, since: datetime, until: datetime) -> list[ModelCost]:
    """A user's calls by model, dearest first; hours from `since` (inclusive) to `until` (exclusive)."""
    rows = await connection.fetch(
        "SELECT provider_type, model, sum(requests)::bigint AS calls, sum(total_tokens)::bigint AS tokens,"
        " sum(cost) AS cost"
        " FROM rollups_hourly WHERE user_id = $1 AND hour >= $2 AND hour < $3"
        " GROUP BY provider_type, model HAVING sum(requests) > 0 ORDER BY cost DESC, provider_type, model",
        user_id,
        since,
        until,
    )
    return [ModelCost(row["provider_type"], row["model"], row["calls"], row["tokens"], row["cost"]) for row in rows]


async def by_day(connection: Connection, user_id: str, since: datetime, until: datetime) -> list[DayCost]:
    """A user's calls by UTC day, oldest first, days without calls left out."""
    rows = await connection.fetch(
        "SELECT (hour AT TIME ZONE 'UTC')::date AS day, sum(requests)::bigint AS calls,"
        " sum(total_tokens)::bigint AS tokens, sum(cost) AS cost"
        " FROM rollups_hourly WHERE user_id = $1 AND hour >= $2 AND hour < $3"
        " GROUP BY 1 HAVING sum(requests) > 0 ORDER BY 1",
        user_id,
        since,
        until,
    )
    return [DayCost(row["day"], row["calls"], row["tokens"], row["cost"]) for row in rows]


def _order(key: RollupKey) -> tuple[datetime, list[str]]:
    return key.hour, [part or "" for part in key[1:]]


async def in_buckets(
    connection: Connection, span: Span, wanted: Wanted, grouped: Collection[str], limit: int
) -> list[tuple[datetime, BucketResult]]:
    """The sums of each bucket of a span (its start, and what was counted in it), one for each group: `grouped` names
    members of the result that tell groups apart; the others are null. At most `limit` groups."""
    rows = await connection.fetch(
        "SELECT to_timestamp(floor(extract(epoch FROM hour) / $3) * $3) AS bucket,"
        " CASE WHEN 'project_id' = ANY($8::text[]) THEN team_id END AS project_id,"
        " CASE WHEN 'user_id' = ANY($8) THEN user_id END AS user_id,"
        " CASE WHEN 'api_key_id' = ANY($8) THEN api_key_id END AS api_key_id,"
        " CASE WHEN 'model' = ANY($8) THEN model END AS model,"
        " sum(requests)::bigint AS requests, sum(input_tokens)::bigint AS input_tokens,"
        " sum(cached_input_tokens)::bigint AS cached_input_tokens, sum(output_tokens)::bigint AS output_tokens,"
        " sum(audio_input_tokens)::bigint AS audio_input_tokens,"
        " sum(audio_output_tokens)::bigint AS audio_output_tokens, sum(cost) AS cost"
        " FROM rollups_hourly WHERE hour >= $1 AND hour < $2"
        " AND ($4::text[] IS NULL OR team_id = ANY($4)) AND ($5::text[] IS NULL OR user_id = ANY($5))"
        " AND ($6::text[] IS NULL OR api_key_id = ANY($6)) AND ($7::text[] IS NULL OR model = ANY($7))"
        " AND ($9::text[] IS NULL OR operation = ANY($9))"
        " GROUP BY 1, 2, 3, 4, 5 HAVING sum(requests) > 0 ORDER BY 1, 2, 3, 4, 5 LIMIT $10",
        span.begins,
        span.ends,
        span.width_seconds,
        wanted.project_ids,
        wanted.user_ids,
        wanted.api_key_ids,
        wanted.models,
        list(grouped),
        wanted.operations,
        limit,
    )
    return [(row["bucket"], BucketResult(**{name: row[name] for name in BucketResult._fields})) for row in rows]
