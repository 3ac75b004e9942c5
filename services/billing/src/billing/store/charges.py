"""SQL for what is booked of each request: the ids of events, and the charge that stands.

Rows are always taken in the order of their key, so that batches that run at the same time wait for each other in turn
and never in a ring.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
from common.postgres.pool import Connection

from billing.domain.charges import Attempt, Charge, Month, Owner
from billing.domain.counters import counter_named


async def claim_events(connection: Connection, events: Sequence[tuple[UUID, int]], at: datetime) -> list[UUID]:
    """Claim event ids (with their stream sequences) for this transaction; returns those nobody had claimed before.

    Waits for a transaction that is just claiming one of them, and claims it if that one fails.
    """
    rows = await connection.fetch(
        "INSERT INTO usage_event_ids (event_id, stream_sequence, booked_at)"
        " SELECT event_id, stream_sequence, $3 FROM unnest($1::uuid[], $2::bigint[]) AS e (event_id, stream_sequence)"
        " ORDER BY event_id"
        " ON CONFLICT (event_id) DO NOTHING RETURNING event_id",
        [event_id for event_id, _ in events],
        [sequence for _, sequence in events],
        at,
    )
    return [row["event_id"] for row in rows]


async def create(connection: Connection, charges: Collection[Charge], at: datetime) -> set[str]:
    """Write the charges of requests that have none yet; returns the ids of these requests."""
    rows = await connection.fetch(
        "INSERT INTO charges (request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month,"
        " cost, operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, attempts, settled,"
        " booked_at)"
        " SELECT c.request_id, c.event_id, c.state, c.api_key_id, c.user_id, c.team_id, c.provider_type, c.year, c.month,"
        " c.cost, c.operator_cost, c.input_tokens, c.output_tokens, c.occurred_at, c.counted, c.is_simulated,"
        " c.attempts::jsonb, c.settled::jsonb, $19"
        " FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],"
        " $7::text[], $8::int[], $9::int[], $10::numeric[], $11::numeric[], $12::bigint[], $13::bigint[],"
        " $14::timestamptz[], $15::numeric[], $16::boolean[], $17::text[], $18::text[])"
        " AS c (request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
        " operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, attempts, settled)"
        " ORDER BY c.request_id"
        " ON CONFLICT (request_id) DO NOTHING RETURNING request_id",
        *_columns(charges),
        at,
    )
    return {row["request_id"] for row in rows}


async def lock(connection: Connection, request_ids: Collection[str]) -> dict[str, Charge]:
    """The charges that stand for these requests, held until the end of the transaction."""
    rows = await connection.fetch(
        "SELECT request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
        " operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, attempts, settled"
        " FROM charges WHERE request_id = ANY($1::text[]) ORDER BY request_id FOR UPDATE",
        list(request_ids),
    )
    return {row["request_id"]: _charge(row) for row in rows}


async def replace(connection: Connection, charges: Collection[Charge], at: datetime) -> None:
    """Let newer charges stand in place of those held by `lock`."""
    await connection.execute(
        "UPDATE charges AS standing SET event_id = c.event_id, state = c.state, api_key_id = c.api_key_id,"
        " user_id = c.user_id, team_id = c.team_id, provider_type = c.provider_type, year = c.year, month = c.month,"
        " cost = c.cost, operator_cost = c.operator_cost, input_tokens = c.input_tokens,"
        " output_tokens = c.output_tokens, occurred_at = c.occurred_at, counted = c.counted,"
        " is_simulated = c.is_simulated, attempts = c.attempts::jsonb, settled = c.settled::jsonb, booked_at = $19"
        " FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],"
        " $9::int[], $10::numeric[], $11::numeric[], $12::bigint[], $13::bigint[], $14::timestamptz[],"
        " $15::numeric[], $16::boolean[], $17::text[], $18::text[])"
        " AS c (request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
        " operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, attempts, settled)"
        " WHERE standing.request_id = c.request_id",
        *_columns(charges),
        at,
    )


def _columns(charges: Collection[Charge]) -> tuple[list[object], ...]:
    return (
        [charge.request_id for charge in charges],
        [charge.event_id for charge in charges],
        [charge.state for charge in charges],
        [charge.owner.api_key_id for charge in charges],
        [charge.owner.user_id for charge in charges],
        [charge.team_id for charge in charges],
        [charge.provider_type for charge in charges],
        [charge.month.year for charge in charges],
        [charge.month.month for charge in charges],
        [charge.cost for charge in charges],
        [charge.operator_cost for charge in charges],
        [charge.input_tokens for charge in charges],
        [charge.output_tokens for charge in charges],
        [charge.occurred_at for charge in charges],
        [charge.counted for charge in charges],
        [charge.is_simulated for charge in charges],
        [_attempts_text(charge.attempts) for charge in charges],
        [json.dumps({counter.name: str(amount) for counter, amount in charge.settled.items()}) for charge in charges],
    )


def _attempts_text(attempts: Sequence[Attempt]) -> str:
    return json.dumps(
        [
            {
                "provider_type": attempt.provider_type,
                "model": attempt.model,
                "cost": str(attempt.cost),
                "operator_cost": str(attempt.operator_cost),
                "usage": dict(attempt.usage),
                "price_version": attempt.price_version,
            }
            for attempt in attempts
        ]
    )


def _attempt(stored: Mapping[str, Any]) -> Attempt:
    amounts = {name: Decimal(stored[name]) for name in ("cost", "operator_cost")}
    return Attempt(**{**stored, **amounts})


def _charge(row: asyncpg.Record) -> Charge:
    return Charge(
        request_id=row["request_id"],
        event_id=row["event_id"],
        state=row["state"],
        owner=Owner(row["api_key_id"], row["user_id"]),
        team_id=row["team_id"],
        provider_type=row["provider_type"],
        month=Month(row["year"], row["month"]),
        cost=row["cost"],
        operator_cost=row["operator_cost"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        occurred_at=row["occurred_at"],
        counted=row["counted"],
        attempts=tuple(_attempt(stored) for stored in row["attempts"]),
        is_simulated=row["is_simulated"],
        settled={
            counter: Decimal(amount) for name, amount in row["settled"].items() if (counter := counter_named(name))
        },
    )
