"""SQL for what is counted a month, and the names that keys are known by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import asyncpg
from common.postgres.pool import Connection

from billing.domain.charges import Month
from billing.domain.ledger import MonthlyRow, Tally
from billing.domain.views import MonthlySummary, SummaryFilter, SummaryPosition
from billing.store.columns import column


async def add(connection: Connection, differences: Mapping[MonthlyRow, Tally]) -> None:
    """Add differences to the monthly rows, in the order of their key."""
    rows = sorted(differences.items(), key=_order)
    await connection.execute(
        "INSERT INTO monthly_usage AS m (api_key_id, user_id, year, month, total_requests, input_tokens,"
        " output_tokens, total_cost)"
        " SELECT d.api_key_id, d.user_id, d.year::int, d.month::int, d.requests::bigint, d.read::bigint,"
        " d.written::bigint, d.cost::numeric"
        " FROM ROWS FROM (json_array_elements_text($1::text::json), json_array_elements_text($2::text::json),"
        " json_array_elements_text($3::text::json), json_array_elements_text($4::text::json),"
        " json_array_elements_text($5::text::json), json_array_elements_text($6::text::json),"
        " json_array_elements_text($7::text::json), json_array_elements_text($8::text::json))"
        " AS d (api_key_id, user_id, year, month, requests, read, written, cost)"
        " ON CONFLICT (year, month, api_key_id, user_id) DO UPDATE SET"
        " total_requests = m.total_requests + EXCLUDED.total_requests,"
        " input_tokens = m.input_tokens + EXCLUDED.input_tokens,"
        " output_tokens = m.output_tokens + EXCLUDED.output_tokens,"
        " total_cost = m.total_cost + EXCLUDED.total_cost",
        column([owner.api_key_id for (owner, _), _ in rows]),
        column([owner.user_id for (owner, _), _ in rows]),
        column([month.year for (_, month), _ in rows]),
        column([month.month for (_, month), _ in rows]),
        column([tally.requests for _, tally in rows]),
        column([tally.input_tokens for _, tally in rows]),
        column([tally.output_tokens for _, tally in rows]),
        column([tally.cost for _, tally in rows]),
    )


async def summaries(
    connection: Connection, wanted: SummaryFilter, after: SummaryPosition | None, limit: int
) -> list[MonthlySummary]:
    """Monthly rows a key, newest month first, then by key; those that corrections have emptied are left out."""
    year, month, api_key_id = after or (None, None, None)
    rows = await connection.fetch(
        "SELECT m.api_key_id, n.name, m.year, m.month, sum(m.total_requests)::bigint AS total_requests,"
        " sum(m.input_tokens)::bigint AS input_tokens, sum(m.output_tokens)::bigint AS output_tokens,"
        " sum(m.total_cost) AS total_cost"
        " FROM monthly_usage AS m LEFT JOIN key_names AS n USING (api_key_id)"
        " WHERE ($1::text IS NULL OR m.api_key_id = $1) AND ($2::text IS NULL OR m.user_id = $2)"
        " AND ($3::int IS NULL OR m.year = $3) AND ($4::int IS NULL OR m.month = $4)"
        " AND ($5::int IS NULL OR (-m.year, -m.month, coalesce(m.api_key_id, '')) > (-$5, -$6::int, $7::text))"
        " GROUP BY m.api_key_id, n.name, m.year, m.month HAVING sum(m.total_requests) > 0"
        " ORDER BY m.year DESC, m.month DESC, coalesce(m.api_key_id, '') LIMIT $8",
        wanted.api_key_id,
        wanted.user_id,
        wanted.year,
        wanted.month,
        year,
        month,
        api_key_id,
        limit,
    )
    return [_summary(row) for row in rows]


async def remember_names(connection: Connection, names: Mapping[str, str], at: datetime) -> None:
    """Keep the names that keys are known by; rows that say so already stay as they are."""
    await connection.execute(
        "INSERT INTO key_names AS n (api_key_id, name, seen_at)"
        " SELECT api_key_id, name, $3 FROM unnest($1::text[], $2::text[]) AS k (api_key_id, name) ORDER BY api_key_id"
        " ON CONFLICT (api_key_id) DO UPDATE SET name = EXCLUDED.name, seen_at = EXCLUDED.seen_at"
        " WHERE n.name <> EXCLUDED.name",
        list(names.keys()),
        list(names.values()),
        at,
    )


def _order(row: tuple[MonthlyRow, Tally]) -> tuple[Month, str, str]:
    (owner, month), _ = row
    return month, owner.api_key_id or "", owner.user_id or ""


def _summary(row: asyncpg.Record) -> MonthlySummary:
    return MonthlySummary(
        api_key_id=row["api_key_id"],
        name=row["name"],
        month=Month(row["year"], row["month"]),
        total_requests=row["total_requests"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        total_cost=row["total_cost"],
    )
