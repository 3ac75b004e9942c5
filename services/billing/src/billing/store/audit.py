"""SQL that checks the books against themselves. Whole-table reads: the auditor paces them."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from common.postgres.pool import Connection

from billing.domain.audit import MonthOff
from billing.domain.charges import Month

AUDIT_SECONDS = 600.0
"""How long one of these statements may take."""


async def ledger_total(connection: Connection) -> Decimal:
    """The sum of all lines: zero."""
    total = await connection.fetchval("SELECT coalesce(sum(amount), 0) FROM ledger_entries", timeout=AUDIT_SECONDS)
    return Decimal(total)


async def unbalanced(connection: Connection, examples: int) -> tuple[int, list[UUID]]:
    """How many transactions do not sum to zero, and some of them."""
    rows = await connection.fetch(
        "SELECT transaction_id, count(*) OVER () AS count"
        " FROM ledger_entries GROUP BY transaction_id HAVING sum(amount) <> 0 ORDER BY transaction_id LIMIT $1",
        examples,
        timeout=AUDIT_SECONDS,
    )
    return (rows[0]["count"] if rows else 0), [row["transaction_id"] for row in rows]


async def months_off(connection: Connection, examples: int) -> tuple[int, list[MonthOff]]:
    """How many keys' months have another total than their ledger lines, and some of them."""
    rows = await connection.fetch(
        "WITH booked AS (SELECT substr(account, 10) AS api_key_id, year, month, sum(amount) AS total"
        " FROM ledger_entries WHERE starts_with(account, 'customer:') GROUP BY 1, 2, 3),"
        " counted AS (SELECT coalesce(api_key_id, 'none') AS api_key_id, year, month, sum(total_cost) AS total"
        " FROM monthly_usage GROUP BY 1, 2, 3)"
        " SELECT api_key_id, year, month, coalesce(booked.total, 0) AS booked, coalesce(counted.total, 0) AS counted,"
        " count(*) OVER () AS count"
        " FROM booked FULL JOIN counted USING (api_key_id, year, month)"
        " WHERE coalesce(booked.total, 0) <> coalesce(counted.total, 0) ORDER BY 1, 2, 3 LIMIT $1",
        examples,
        timeout=AUDIT_SECONDS,
    )
    found = [
        MonthOff(row["api_key_id"], Month(row["year"], row["month"]), row["booked"], row["counted"]) for row in rows
    ]
    return (rows[0]["count"] if rows else 0), found


async def counters_off(connection: Connection) -> int:
    """How many keys' and users' months hold another total than the charges that stand."""
    return int(
        await connection.fetchval(
            "WITH booked AS (SELECT s.scope, lpad(c.year::text, 4, '0') || '-' || lpad(c.month::text, 2, '0') AS period,"
            " sum(c.counted) AS total FROM charges AS c,"
            " LATERAL (VALUES ('key:' || c.api_key_id), ('user:' || c.user_id)) AS s (scope)"
            " WHERE s.scope IS NOT NULL GROUP BY 1, 2)"
            " SELECT count(*) FROM booked LEFT JOIN counters USING (scope, period)"
            " WHERE booked.total <> coalesce(counters.total, 0)",
            timeout=AUDIT_SECONDS,
        )
    )


async def days_off(connection: Connection) -> int:
    """How many providers' days add up to something else than the ledger's lines of calls do (0 or 1: their sums)."""
    return int(
        await connection.fetchval(
            "SELECT (coalesce((SELECT sum(cost) FROM provider_days), 0) <> -coalesce((SELECT sum(amount)"
            " FROM ledger_entries WHERE starts_with(account, 'provider:') AND kind <> 'reconciliation'), 0))::int",
            timeout=AUDIT_SECONDS,
        )
    )


async def statements_off(connection: Connection) -> int:
    """How many closed statements hold another total than the lines that stand in them."""
    return int(
        await connection.fetchval(
            "WITH lines AS (SELECT coalesce(stated_year, year) AS year, coalesce(stated_month, month) AS month, account,"
            " sum(amount) AS total FROM ledger_entries GROUP BY 1, 2, 3)"
            " SELECT count(*) FROM closed_months JOIN lines USING (year, month)"
            " FULL JOIN statements USING (year, month, account)"
            " WHERE coalesce(lines.total, 0) <> coalesce(statements.total, 0)",
            timeout=AUDIT_SECONDS,
        )
    )
