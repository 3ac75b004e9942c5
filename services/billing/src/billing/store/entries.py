"""SQL for the ledger's lines: appended, read, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from common.postgres.pool import Connection

from billing.domain.charges import Month
from billing.domain.ledger import Entry
from billing.domain.statements import stated_in
from billing.domain.views import LedgerFilter, LedgerLine

_COLUMNS = (
    "transaction_id",
    "account",
    "amount",
    "kind",
    "request_id",
    "event_id",
    "year",
    "month",
    "occurred_at",
    "booked_at",
    "stated_year",
    "stated_month",
)


async def append(connection: Connection, entries: Sequence[Entry], at: datetime, closed: Month | None) -> None:
    """Append lines; the database refuses a transaction whose lines do not sum to zero. Those of a month up to `closed`
    stand in the statement of the month after it.

    Copied in, which is cheaper than an INSERT of arrays; the triggers see it as one statement just the same.
    """
    await connection.copy_records_to_table(
        "ledger_entries",
        records=[(*_values(entry), at, *_stated(entry.month, closed)) for entry in entries],
        columns=_COLUMNS,
    )


async def newest(connection: Connection, wanted: LedgerFilter, before: int | None, limit: int) -> list[LedgerLine]:
    """Lines that match, newest first, from below the id `before`."""
    rows = await connection.fetch(
        "SELECT e.id, e.transaction_id, e.account, e.amount, e.kind, e.request_id, e.event_id, e.year, e.month,"
        " e.occurred_at, e.booked_at"
        " FROM ledger_entries AS e LEFT JOIN charges AS c USING (request_id)"
        " WHERE ($1::text IS NULL OR c.api_key_id = $1) AND ($2::text IS NULL OR c.user_id = $2)"
        " AND ($3::text IS NULL OR e.request_id = $3) AND ($4::bigint IS NULL OR e.id < $4)"
        " ORDER BY e.id DESC LIMIT $5",
        wanted.api_key_id,
        wanted.user_id,
        wanted.request_id,
        before,
        limit,
    )
    return [_line(row) for row in rows]


def _values(entry: Entry) -> tuple[object, ...]:
    event_id, request_id, account, amount, kind, month, occurred_at = entry
    return event_id, account, amount, kind, request_id, event_id, *month, occurred_at


def _stated(month: Month, closed: Month | None) -> tuple[int | None, int | None]:
    """The month whose statement a line stands in, where that is not its own."""
    stated = stated_in(month, closed)
    return (None, None) if stated == month else stated


def _line(row: asyncpg.Record) -> LedgerLine:
    return LedgerLine(
        id=row["id"],
        transaction_id=row["transaction_id"],
        account=row["account"],
        amount=row["amount"],
        kind=row["kind"],
        request_id=row["request_id"],
        event_id=row["event_id"],
        month=Month(row["year"], row["month"]),
        occurred_at=row["occurred_at"],
        booked_at=row["booked_at"],
    )
