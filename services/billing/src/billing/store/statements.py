"""SQL for statements: written when a month is closed, read, never changed."""

from __future__ import annotations

from datetime import datetime

from common.postgres.pool import Connection

from billing.domain.charges import Month
from billing.domain.statements import Statement

_CLOSE_SECONDS = 600.0


async def last_closed(connection: Connection) -> Month | None:
    """The last month that was closed; None before the first."""
    row = await connection.fetchrow("SELECT year, month FROM closed_months ORDER BY year DESC, month DESC LIMIT 1")
    return Month(row["year"], row["month"]) if row else None


async def first_booked(connection: Connection) -> Month | None:
    """The first month that anything is booked in; None while nothing is."""
    row = await connection.fetchrow("SELECT year, month FROM ledger_entries ORDER BY year, month LIMIT 1")
    return Month(row["year"], row["month"]) if row else None


async def close(connection: Connection, month: Month, at: datetime) -> int:
    """Close a month: write what each account came to; how many accounts these are."""
    await connection.execute(
        "INSERT INTO closed_months (year, month, closed_at) VALUES ($1, $2, $3)", month.year, month.month, at
    )
    told = await connection.execute(
        "INSERT INTO statements (year, month, account, usage, corrections, late, total, lines)"
        " SELECT $1, $2, account,"
        " coalesce(sum(amount) FILTER (WHERE stated_year IS NULL AND kind = 'usage'), 0),"
        " coalesce(sum(amount) FILTER (WHERE stated_year IS NULL AND kind <> 'usage'), 0),"
        " coalesce(sum(amount) FILTER (WHERE stated_year IS NOT NULL), 0), sum(amount), count(*)"
        " FROM ledger_entries WHERE coalesce(stated_year, year) = $1 AND coalesce(stated_month, month) = $2"
        " GROUP BY account",
        month.year,
        month.month,
        timeout=_CLOSE_SECONDS,
    )
    return int(told.rpartition(" ")[2])


async def page(
    connection: Connection, month: Month | None, user_id: str | None, after: tuple[int, int, str] | None, limit: int
) -> list[Statement]:
    """Statements, newest month first, then by account; of one month or all. A user's are those of keys that nobody else
    had in that month."""
    year, number, account = after or (None, None, None)
    rows = await connection.fetch(
        "SELECT s.year, s.month, s.account, s.usage, s.corrections, s.late, s.total, s.lines, c.closed_at"
        " FROM statements AS s JOIN closed_months AS c USING (year, month)"
        " WHERE ($1::int IS NULL OR (s.year = $1 AND s.month = $2::int))"
        " AND ($3::text IS NULL OR (starts_with(s.account, 'customer:')"
        "  AND EXISTS (SELECT FROM monthly_usage AS m WHERE 'customer:' || m.api_key_id = s.account"
        "   AND m.year = s.year AND m.month = s.month AND m.user_id = $3)"
        "  AND NOT EXISTS (SELECT FROM monthly_usage AS m WHERE 'customer:' || m.api_key_id = s.account"
        "   AND m.year = s.year AND m.month = s.month AND m.user_id IS DISTINCT FROM $3)))"
        " AND ($4::int IS NULL OR (-s.year, -s.month, s.account) > (-$4, -$5::int, $6::text))"
        " ORDER BY s.year DESC, s.month DESC, s.account LIMIT $7",
        month.year if month else None,
        month.month if month else None,
        user_id,
        year,
        number,
        account,
        limit,
    )
    return [
        Statement(
            Month(row["year"], row["month"]),
            row["account"],
            row["usage"],
            row["corrections"],
            row["late"],
            row["total"],
            row["lines"],
            row["closed_at"],
        )
        for row in rows
    ]
