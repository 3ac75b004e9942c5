"""SQL for what is booked of each request: the ids of events, and the charge that stands.

Rows are always taken in the order of their key, so that batches that run at the same time wait for each other in turn
and never in a ring.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from common.postgres.pool import Connection

from billing.domain.ledger import Charge, Month, Owner


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
        " cost, operator_cost, input_tokens, output_tokens, occurred_at, booked_at)"
        " SELECT c.*, $15 FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],"
        " $7::text[], $8::int[], $9::int[], $10::numeric[], $11::numeric[], $12::bigint[], $13::bigint[],"
        " $14::timestamptz[]) AS c (request_id)"
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
        " operator_cost, input_tokens, output_tokens, occurred_at"
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
        " output_tokens = c.output_tokens, occurred_at = c.occurred_at, booked_at = $15"
        " FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[],"
        " $9::int[], $10::numeric[], $11::numeric[], $12::bigint[], $13::bigint[], $14::timestamptz[])"
        " AS c (request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
        " operator_cost, input_tokens, output_tokens, occurred_at)"
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
    )


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
    )
