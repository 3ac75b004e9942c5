"""SQL that checks the books against themselves. Whole-table reads: the auditor paces them."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from common.postgres.pool import Connection

from billing.domain.audit import MonthOff
from billing.domain.ledger import Month

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
