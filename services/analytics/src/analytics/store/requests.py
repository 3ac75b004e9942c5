"""SQL for the request log: written, taken back, looked up."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from common.clock import rfc3339
from common.contracts.usage import UsageRecorded
from common.money import Money
from common.postgres.pool import Connection
from common.usage import TOKEN_BUCKETS

from analytics.domain.log import LoggedCall, Position, RequestFilter
from analytics.domain.rollups import RollupKey

_SAME = UsageRecorded.model_fields.keys() - {"usage", "raw_usage", "cost_usd", "operator_cost_usd", "started_at"}
"""The members of an event whose column bears their name and holds them as they are."""


async def insert(connection: Connection, calls: Collection[LoggedCall], at: datetime) -> None:
    """Write calls into the log."""
    await connection.execute(
        "INSERT INTO requests (request_id, event_id, kind, trace_id, api_key_id, user_id, team_id, tier, source,"
        " operation, requested_model, alias, provider_type, provider_id, model, credential, credential_id, billable,"
        " streamed, status, http_status, error, finish_reason, input_tokens, cached_input_tokens,"
        " cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens,"
        " audio_output_tokens, total_tokens, units, usage_estimated, raw_usage, price, cost, operator_cost, budgets,"
        " period, started_at, latency_ms, ttft_ms, attempts, cache, dropped_params, decision, simulated, tags,"
        " content_ref, epoch, usage_anomalous, recorded_at)"
        " SELECT request_id, event_id, kind, trace_id, api_key_id, user_id, team_id, tier, source,"
        " operation, requested_model, alias, provider_type, provider_id, model, credential, credential_id, billable,"
        " streamed, status, http_status, error::jsonb, finish_reason, input_tokens, cached_input_tokens,"
        " cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens,"
        " audio_output_tokens, total_tokens, units::jsonb, usage_estimated, raw_usage::jsonb, price::jsonb, cost,"
        " operator_cost, budgets::jsonb, period, started_at, latency_ms, ttft_ms, attempts::jsonb, cache,"
        " dropped_params::jsonb, decision::jsonb, simulated, tags::jsonb, content_ref, epoch, usage_anomalous,"
        " $53"
        " FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],"
        " $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],"
        " $17::text[], $18::bool[], $19::bool[], $20::text[], $21::int[], $22::text[], $23::text[], $24::bigint[],"
        " $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[], $31::bigint[],"
        " $32::bigint[], $33::text[], $34::bool[], $35::text[], $36::text[], $37::numeric[], $38::numeric[],"
        " $39::text[], $40::text[], $41::timestamptz[], $42::bigint[], $43::bigint[], $44::text[], $45::text[],"
        " $46::text[], $47::text[], $48::bool[], $49::text[], $50::text[], $51::text[], $52::bool[])"
        " AS c (request_id, event_id, kind, trace_id, api_key_id, user_id, team_id, tier, source, operation,"
        " requested_model, alias, provider_type, provider_id, model, credential, credential_id, billable, streamed,"
        " status, http_status, error, finish_reason, input_tokens, cached_input_tokens, cache_write_5m_tokens,"
        " cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,"
        " total_tokens, units, usage_estimated, raw_usage, price, cost, operator_cost, budgets, period, started_at,"
        " latency_ms, ttft_ms, attempts, cache, dropped_params, decision, simulated, tags, content_ref,"
        " epoch, usage_anomalous)",
        *(list(column) for column in zip(*map(_values, calls), strict=True)),
        at,
    )


async def remove(connection: Connection, rows: Mapping[str, datetime]) -> list[LoggedCall]:
    """Take rows (request, when it started) out of the log; what they were."""
    removed = await connection.fetch(
        "DELETE FROM requests AS r USING unnest($1::text[], $2::timestamptz[]) AS gone (request_id, started_at)"
        " WHERE r.request_id = gone.request_id AND r.started_at = gone.started_at"
        " RETURNING r.*, r.raw_usage::text AS raw_usage_text",
        list(rows.keys()),
        list(rows.values()),
    )
    return [_logged(row) for row in removed]


async def places(connection: Connection, request_ids: Collection[str]) -> dict[str, RollupKey]:
    """The rollups that calls count in whose final is in the log, by request."""
    rows = await connection.fetch(
        "SELECT r.request_id, date_trunc('hour', r.started_at, 'UTC') AS hour, r.api_key_id, r.user_id, r.team_id,"
        " r.provider_type, r.model, r.source, r.operation"
        " FROM request_ids AS kept JOIN requests AS r USING (request_id, started_at)"
        " WHERE kept.request_id = ANY($1::text[]) AND kept.kind = 'final'",
        list(request_ids),
    )
    return {row["request_id"]: RollupKey(**{name: row[name] for name in RollupKey._fields}) for row in rows}


async def newest(connection: Connection, wanted: RequestFilter, after: Position | None, limit: int) -> list[LoggedCall]:
    """Calls that match, those that started last first, from after a position."""
    started_at, request_id = after or (None, None)
    rows = await connection.fetch(
        "SELECT r.*, r.raw_usage::text AS raw_usage_text FROM requests AS r"
        " WHERE ($1::text IS NULL OR user_id = $1) AND ($2::text IS NULL OR api_key_id = $2)"
        " AND ($3::text IS NULL OR user_id = $3) AND ($4::text IS NULL OR team_id = $4)"
        " AND ($5::text IS NULL OR provider_type = $5 OR provider_id = $5)"
        " AND ($6::text IS NULL OR model = $6 OR requested_model = $6)"
        " AND ($7::text IS NULL OR status = $7) AND ($8::text IS NULL OR source = $8)"
        " AND ($9::text IS NULL OR jsonb_exists(tags, $9)) AND ($10::text IS NULL OR tags ->> $9 = $10)"
        " AND ($11::timestamptz IS NULL OR started_at >= $11) AND ($12::timestamptz IS NULL OR started_at < $12)"
        " AND ($13::text IS NULL OR strpos(lower(concat_ws(' ', request_id, requested_model, alias, model,"
        " provider_type, error ->> 'reason', error ->> 'message')), lower($13)) > 0)"
        " AND ($14::timestamptz IS NULL OR (started_at, request_id) < ($14, $15::text))"
        " ORDER BY started_at DESC, request_id DESC LIMIT $16",
        wanted.visible_to,
        wanted.api_key_id,
        wanted.user_id,
        wanted.team_id,
        wanted.provider,
        wanted.model,
        wanted.status,
        wanted.source,
        wanted.tag,
        wanted.tag_value,
        wanted.from_at,
        wanted.to_at,
        wanted.text,
        started_at,
        request_id,
        limit,
    )
    return [_logged(row) for row in rows]


async def one(connection: Connection, request_id: str, visible_to: str | None) -> LoggedCall | None:
    """The call of a request; None when there is none, or not for this user."""
    row = await connection.fetchrow(
        "SELECT r.*, r.raw_usage::text AS raw_usage_text"
        " FROM request_ids AS kept JOIN requests AS r USING (request_id, started_at)"
        " WHERE kept.request_id = $1 AND ($2::text IS NULL OR r.user_id = $2)",
        request_id,
        visible_to,
    )
    return None if row is None else _logged(row)


def _values(logged: LoggedCall) -> tuple[object, ...]:
    """A call's values in the order of `insert`."""
    call, used = logged.call, logged.call.usage
    told = call.model_dump(
        mode="json",
        include={"error", "raw_usage", "price", "budgets", "attempts", "dropped_params", "decision", "tags"},
    )
    return (
        call.request_id,
        logged.event_id,
        call.kind,
        call.trace_id,
        call.api_key_id,
        call.user_id,
        call.team_id,
        call.tier,
        call.source,
        call.operation,
        call.requested_model,
        call.alias,
        call.provider_type,
        call.provider_id,
        call.model,
        call.credential,
        call.credential_id,
        call.billable,
        call.streamed,
        call.status,
        call.http_status,
        _json(told["error"]),
        call.finish_reason,
        *(getattr(used, bucket) for bucket in TOKEN_BUCKETS),
        used.total_tokens,
        _json(used.units),
        used.estimated,
        _json(told["raw_usage"]),
        _json(told["price"]),
        call.cost_usd.usd,
        call.operator_cost_usd.usd,
        _json(told["budgets"]),
        call.period,
        logged.started_at,
        call.latency_ms,
        call.ttft_ms,
        _json(told["attempts"]),
        call.cache,
        _json(told["dropped_params"]),
        _json(told["decision"]),
        call.simulated,
        _json(told["tags"]),
        call.content_ref,
        call.epoch,
        used.anomalous,
    )


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _logged(row: asyncpg.Record) -> LoggedCall:
    told: dict[str, Any] = {name: row[name] for name in _SAME}
    usage = {bucket: row[bucket] for bucket in TOKEN_BUCKETS}
    told["usage"] = {
        **usage,
        "total_tokens": row["total_tokens"],
        "units": row["units"],
        "estimated": row["usage_estimated"],
        "anomalous": row["usage_anomalous"],
    }
    # Read apart from the other documents: its numbers are the provider's own, to be shown as they came.
    told["raw_usage"] = None if row["raw_usage_text"] is None else json.loads(row["raw_usage_text"])
    told["cost_usd"] = Money(row["cost"])
    told["operator_cost_usd"] = Money(row["operator_cost"])
    told["started_at"] = rfc3339(row["started_at"])
    # Another replica may be of a later release, and its documents have members that are not known here.
    call = UsageRecorded.model_validate(told, extra="ignore")
    return LoggedCall(row["event_id"], row["started_at"], call, row["recorded_at"])
