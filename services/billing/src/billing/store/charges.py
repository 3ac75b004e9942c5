"""SQL for what is booked of each request: the ids of events, and the charge that stands.

Rows are always taken in the order of their key, so that batches that run at the same time wait for each other in turn
and never in a ring.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
from common.postgres.pool import Connection

from billing.domain.charges import Attempt, Charge, Month, Owner
from billing.domain.counters import counter_named
from billing.store.columns import column


async def claim_events(connection: Connection, events: Sequence[tuple[UUID, int]], at: datetime) -> list[UUID]:
    """Claim event ids (with their stream sequences) for this transaction; returns those nobody had claimed before.

    Waits for a transaction that is just claiming one of them, and claims it if that one fails.
    """
    rows = await connection.fetch(
        "INSERT INTO usage_event_ids (event_id, stream_sequence, booked_at)"
        " SELECT event_id::uuid, stream_sequence::bigint, $3 FROM ROWS FROM (json_array_elements_text($1::text::json),"
        " json_array_elements_text($2::text::json)) AS e (event_id, stream_sequence)"
        " ORDER BY event_id"
        " ON CONFLICT (event_id) DO NOTHING RETURNING event_id",
        column([event_id for event_id, _ in events]),
        column([sequence for _, sequence in events]),
        at,
    )
    return [row["event_id"] for row in rows]


async def create(connection: Connection, charges: Collection[Charge], at: datetime) -> set[str]:
    """Write the charges of requests that have none yet; returns the ids of these requests."""
    return await _write(connection, charges, at, replaces=False)


async def lock(connection: Connection, request_ids: Collection[str]) -> dict[str, Charge]:
    """The charges that stand for these requests, held until the end of the transaction."""
    rows = await connection.fetch(
        "SELECT request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
        " operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, is_billable, attempts, settled"
        " FROM charges WHERE request_id = ANY($1::text[]) ORDER BY request_id FOR UPDATE",
        list(request_ids),
    )
    return {row["request_id"]: read_row(row) for row in rows}


async def replace(connection: Connection, charges: Collection[Charge], at: datetime) -> None:
    """Let newer charges stand in place of those held by `lock`."""
    await _write(connection, charges, at, replaces=True)


async def _write(connection: Connection, charges: Collection[Charge], at: datetime, *, replaces: bool) -> set[str]:
    """Write charges, and in the place of those that stand only where it `replaces`; the ids of the requests written."""
    rows = await connection.fetch(
        "INSERT INTO charges (request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month,"
        " cost, operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, is_billable, attempts,"
        " settled, booked_at)"
        " SELECT c.request_id, c.event_id::uuid, c.state, c.api_key_id, c.user_id, c.team_id, c.provider_type,"
        " c.year::int, c.month::int, c.cost::numeric, c.operator_cost::numeric, c.input_tokens::bigint,"
        " c.output_tokens::bigint, c.occurred_at::timestamptz, c.counted::numeric, c.is_simulated::boolean,"
        " c.is_billable::boolean, c.attempts, c.settled, $20"
        " FROM ROWS FROM (json_array_elements_text($1::text::json), json_array_elements_text($2::text::json),"
        " json_array_elements_text($3::text::json), json_array_elements_text($4::text::json),"
        " json_array_elements_text($5::text::json), json_array_elements_text($6::text::json),"
        " json_array_elements_text($7::text::json), json_array_elements_text($8::text::json),"
        " json_array_elements_text($9::text::json), json_array_elements_text($10::text::json),"
        " json_array_elements_text($11::text::json), json_array_elements_text($12::text::json),"
        " json_array_elements_text($13::text::json), json_array_elements_text($14::text::json),"
        " json_array_elements_text($15::text::json), json_array_elements_text($16::text::json),"
        " json_array_elements_text($17::text::json), jsonb_array_elements($18::text::jsonb),"
        " jsonb_array_elements($19::text::jsonb))"
        " AS c (request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
        " operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, is_billable, attempts, settled)"
        " ORDER BY c.request_id"
        " ON CONFLICT (request_id) DO UPDATE SET event_id = EXCLUDED.event_id, state = EXCLUDED.state,"
        " api_key_id = EXCLUDED.api_key_id, user_id = EXCLUDED.user_id, team_id = EXCLUDED.team_id,"
        " provider_type = EXCLUDED.provider_type, year = EXCLUDED.year, month = EXCLUDED.month, cost = EXCLUDED.cost,"
        " operator_cost = EXCLUDED.operator_cost, input_tokens = EXCLUDED.input_tokens,"
        " output_tokens = EXCLUDED.output_tokens, occurred_at = EXCLUDED.occurred_at, counted = EXCLUDED.counted,"
        " is_simulated = EXCLUDED.is_simulated, is_billable = EXCLUDED.is_billable, attempts = EXCLUDED.attempts,"
        " settled = EXCLUDED.settled, booked_at = EXCLUDED.booked_at WHERE $21::boolean RETURNING request_id",
        *_columns(charges),
        at,
        replaces,
    )
    return {row["request_id"] for row in rows}


def _columns(charges: Collection[Charge]) -> tuple[str, ...]:
    return (
        column([charge.request_id for charge in charges]),
        column([charge.event_id for charge in charges]),
        column([charge.state for charge in charges]),
        column([charge.owner.api_key_id for charge in charges]),
        column([charge.owner.user_id for charge in charges]),
        column([charge.team_id for charge in charges]),
        column([charge.provider_type for charge in charges]),
        column([charge.month.year for charge in charges]),
        column([charge.month.month for charge in charges]),
        column([charge.cost for charge in charges]),
        column([charge.operator_cost for charge in charges]),
        column([charge.input_tokens for charge in charges]),
        column([charge.output_tokens for charge in charges]),
        column([charge.occurred_at for charge in charges]),
        column([charge.counted for charge in charges]),
        column([charge.is_simulated for charge in charges]),
        column([charge.is_billable for charge in charges]),
        column([charge.attempts for charge in charges]),
        column([{counter.name: amount for counter, amount in charge.settled.items()} for charge in charges]),
    )


def _attempt(stored: Mapping[str, Any]) -> Attempt:
    amounts = {name: Decimal(stored[name]) for name in ("cost", "operator_cost") if name in stored}
    return Attempt(**{**stored, **amounts})


def read_row(row: asyncpg.Record) -> Charge:
    """The charge that a row is."""
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
        is_billable=row["is_billable"],
        settled={
            counter: Decimal(amount) for name, amount in row["settled"].items() if (counter := counter_named(name))
        },
    )
