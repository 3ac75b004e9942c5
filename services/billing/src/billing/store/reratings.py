"""SQL for re-ratings: the charges that they look at, and those that were booked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
from common.postgres.pool import Connection

from billing.domain.charges import Charge
from billing.domain.rerating import Difference, Place
from billing.store.charges import read_row

AT_ONCE = 2_000
"""Charges that one page has."""
_PAGE_SECONDS = 300.0
_LONG_SECONDS = 3_600.0

MOST_ROWS = 1_000
"""Places that are kept and shown, those with the largest differences; sums are over all of them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which final calls are to be priced again: those that began in a span, all or those with an attempt at a
    provider type, or at one of some models."""

    starts_at: datetime
    ends_at: datetime
    provider_type: str | None
    models: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Booked:
    """A re-rating that was booked."""

    id: str
    first_day: date
    last_day: date
    provider_type: str | None
    model: str | None
    calls: int
    before: Decimal
    after: Decimal
    places: Sequence[tuple[Place, Difference]]
    booked_by: str
    booked_at: datetime


async def pages(connection: Connection, asked: Asked) -> AsyncIterator[list[Charge]]:
    """The final charges that are asked for and that somebody may owe, in the order of their requests."""
    last = ""
    while True:
        rows = await connection.fetch(
            "SELECT c.request_id, c.event_id, c.state, c.api_key_id, c.user_id, c.team_id, c.provider_type, c.year,"
            " c.month, c.cost, c.operator_cost, c.input_tokens, c.output_tokens, c.occurred_at, c.counted,"
            " c.is_simulated, c.is_billable, c.attempts, c.settled"
            " FROM charges AS c WHERE c.request_id > $1 AND c.occurred_at >= $2 AND c.occurred_at < $3"
            " AND c.state = 'final' AND c.is_billable"
            " AND (($4::text IS NULL AND $5::text[] IS NULL) OR EXISTS (SELECT FROM jsonb_array_elements(c.attempts) AS a"
            "  WHERE ($4 IS NULL OR a ->> 'provider_type' = $4) AND ($5 IS NULL OR a ->> 'model' = ANY($5))))"
            " ORDER BY c.request_id LIMIT $6",
            last,
            asked.starts_at,
            asked.ends_at,
            asked.provider_type,
            list(asked.models) if asked.models is not None else None,
            AT_ONCE,
            timeout=_PAGE_SECONDS,
        )
        if not rows:
            return
        last = rows[-1]["request_id"]
        yield [read_row(row) for row in rows]


async def mark(connection: Connection, request_ids: Collection[str], rerating_id: str) -> None:
    """Note by which re-rating these charges stand as they do."""
    await connection.execute(
        "UPDATE charges SET rerating_id = $2 WHERE request_id = ANY($1::text[])", list(request_ids), rerating_id
    )


async def insert(connection: Connection, booked: Booked) -> None:
    """Write a re-rating."""
    await connection.execute(
        "INSERT INTO reratings (id, first_day, last_day, provider_type, model, calls, before, after, rows, booked_by,"
        " booked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        booked.id,
        booked.first_day,
        booked.last_day,
        booked.provider_type,
        booked.model,
        booked.calls,
        booked.before,
        booked.after,
        [[*place, one.attempts, one.before, one.after] for place, one in booked.places],
        booked.booked_by,
        booked.booked_at,
    )


async def find(connection: Connection, rerating_id: str) -> Booked | None:
    """One that was booked; None when there is none."""
    row = await connection.fetchrow(
        "SELECT id, first_day, last_day, provider_type, model, calls, before, after, rows, booked_by, booked_at"
        " FROM reratings WHERE id = $1",
        rerating_id,
    )
    return _booked(row) if row else None


async def page(connection: Connection, before: datetime | None, limit: int) -> list[Booked]:
    """Those that were booked before an instant, newest first, without their places."""
    rows = await connection.fetch(
        "SELECT id, first_day, last_day, provider_type, model, calls, before, after, '[]'::jsonb AS rows, booked_by,"
        " booked_at FROM reratings WHERE $1::timestamptz IS NULL OR booked_at < $1 ORDER BY booked_at DESC LIMIT $2",
        before,
        limit,
    )
    return [_booked(row) for row in rows]


async def kept_pages(connection: Connection) -> AsyncIterator[list[Charge]]:
    """The charges that a rebuild found priced again, as they stood."""
    last = ""
    while True:
        rows = await connection.fetch(
            "SELECT request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
            " operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, is_billable, attempts,"
            " settled FROM rerated_after($1, $2)",
            last,
            AT_ONCE,
        )
        if not rows:
            return
        last = rows[-1]["request_id"]
        yield [read_row(row) for row in rows]


async def marks_kept(connection: Connection) -> None:
    """Note on the rebuilt charges by which re-rating they stand as they do."""
    await connection.execute("SELECT mark_rerated()", timeout=_LONG_SECONDS)


def _booked(row: asyncpg.Record) -> Booked:
    stored: dict[str, Any] = dict(row)
    return Booked(places=[_place(*one) for one in stored.pop("rows")], **stored)


def _place(
    account: str, provider_type: str, model: str, day: str, attempts: int, before: str, after: str
) -> tuple[Place, Difference]:
    place = Place(account, provider_type, model, date.fromisoformat(day))
    return place, Difference(attempts, Decimal(before), Decimal(after))
