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
from billing.store.columns import column


async def append(connection: Connection, entries: Sequence[Entry], at: datetime, closed: Month | None) -> None:
    """Append lines, those of a transaction side by side; the database refuses a transaction whose lines do not sum to
    zero. Those of a month up to `closed` stand in the statement of the month after it.

    What the lines of a transaction share is sent once, which is cheaper than a COPY of whole rows.
    """
    shared, of_line = _shared(entries)
    stated = [stated_in(entry.month, closed) for entry in shared]
    await connection.execute(
        "INSERT INTO ledger_entries (transaction_id, account, amount, kind, request_id, event_id, year, month,"
        " occurred_at, booked_at, stated_year, stated_month)"
        " SELECT s.event_id::uuid, l.account, l.amount::numeric, s.kind, s.request_id, s.event_id::uuid, s.year::int,"
        " s.month::int, s.occurred_at::timestamptz, $12, s.stated_year::int, s.stated_month::int"
        " FROM ROWS FROM (json_array_elements_text($1::text::json), json_array_elements_text($2::text::json),"
        " json_array_elements_text($3::text::json)) WITH ORDINALITY AS l (of, account, amount, position)"
        " JOIN ROWS FROM (json_array_elements_text($4::text::json), json_array_elements_text($5::text::json),"
        " json_array_elements_text($6::text::json), json_array_elements_text($7::text::json),"
        " json_array_elements_text($8::text::json), json_array_elements_text($9::text::json),"
        " json_array_elements_text($10::text::json), json_array_elements_text($11::text::json)) WITH ORDINALITY"
        " AS s (event_id, request_id, kind, year, month, occurred_at, stated_year, stated_month, of)"
        " ON l.of::bigint = s.of ORDER BY l.position",
        column(of_line),
        column([entry.account for entry in entries]),
        column([entry.amount for entry in entries]),
        column([entry.event_id for entry in shared]),
        column([entry.request_id for entry in shared]),
        column([entry.kind for entry in shared]),
        column([entry.month.year for entry in shared]),
        column([entry.month.month for entry in shared]),
        column([entry.occurred_at for entry in shared]),
        column([month.year if month != entry.month else None for entry, month in zip(shared, stated, strict=True)]),
        column([month.month if month != entry.month else None for entry, month in zip(shared, stated, strict=True)]),
        at,
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


def _shared(entries: Sequence[Entry]) -> tuple[list[Entry], list[int]]:
    """One line for each run of lines that differ in account and amount alone; and for every line the number of its run,
    from 1."""
    shared: list[Entry] = []
    of_line: list[int] = []
    event_id = month = None
    for entry in entries:
        if entry.event_id is not event_id or entry.month != month:
            shared.append(entry)
            event_id, month = entry.event_id, entry.month
        of_line.append(len(shared))
    return shared, of_line


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
