"""SQL for providers' bills that were held against the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import asyncpg
from common.postgres.pool import Connection

from billing.domain.bills import BookedRow, MatchedRow


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One bill and what came of it. `billed` is None where the bill tells tokens only."""

    id: str
    provider_type: str
    format: str
    first_day: date
    last_day: date
    billed: Decimal | None
    booked: Decimal
    drift_ratio: Decimal | None
    is_alarming: bool
    rows_off: int
    created_by: str
    created_at: datetime
    accepted_by: str | None = None
    accepted_at: datetime | None = None

    @property
    def drift(self) -> Decimal:
        """US dollars that are billed beyond what is booked."""
        return Decimal(0) if self.billed is None else self.billed - self.booked


async def booked(
    connection: Connection, provider_type: str, first: date, last: date, with_simulated: bool
) -> list[BookedRow]:
    """What the ledger owes a provider by day and model; what the simulator answered, only when asked for."""
    rows = await connection.fetch(
        "SELECT day, model, sum(cost) AS cost, sum(input_tokens + output_tokens)::bigint AS tokens FROM provider_days"
        " WHERE provider_type = $1 AND day BETWEEN $2 AND $3 AND ($4::boolean OR NOT is_simulated)"
        " GROUP BY day, model ORDER BY day, model",
        provider_type,
        first,
        last,
        with_simulated,
    )
    return [BookedRow(row["day"], row["model"], row["cost"], row["tokens"]) for row in rows]


async def insert(connection: Connection, made: Reconciliation, rows: Sequence[MatchedRow]) -> None:
    """Write a reconciliation and its rows."""
    await connection.execute(
        "INSERT INTO reconciliations (id, provider_type, format, first_day, last_day, billed, booked, drift_ratio,"
        " is_alarming, rows_off, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        made.id,
        made.provider_type,
        made.format,
        made.first_day,
        made.last_day,
        made.billed,
        made.booked,
        made.drift_ratio,
        made.is_alarming,
        made.rows_off,
        made.created_by,
        made.created_at,
    )
    await connection.execute(
        "INSERT INTO reconciliation_rows (reconciliation_id, day, model, billed, booked, billed_tokens, booked_tokens)"
        " SELECT $1, * FROM unnest($2::date[], $3::text[], $4::numeric[], $5::numeric[], $6::bigint[], $7::bigint[])",
        made.id,
        [row.day for row in rows],
        [row.model for row in rows],
        [row.billed for row in rows],
        [row.booked for row in rows],
        [row.billed_tokens for row in rows],
        [row.booked_tokens for row in rows],
    )


async def page(
    connection: Connection, provider_type: str | None, before: str | None, limit: int
) -> list[Reconciliation]:
    """Reconciliations, newest first, from below the id `before`."""
    rows = await connection.fetch(
        "SELECT id, provider_type, format, first_day, last_day, billed, booked, drift_ratio, is_alarming, rows_off,"
        " created_by, created_at, accepted_by, accepted_at FROM reconciliations"
        " WHERE ($1::text IS NULL OR provider_type = $1) AND ($2::text IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        provider_type,
        before,
        limit,
    )
    return [_reconciliation(row) for row in rows]


async def latest(connection: Connection) -> list[Reconciliation]:
    """The last reconciliation of each provider type."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (provider_type) id, provider_type, format, first_day, last_day, billed, booked, drift_ratio,"
        " is_alarming, rows_off, created_by, created_at, accepted_by, accepted_at FROM reconciliations"
        " ORDER BY provider_type, id DESC"
    )
    return [_reconciliation(row) for row in rows]


async def hold(connection: Connection, reconciliation_id: str) -> Reconciliation | None:
    """One reconciliation, held until the end of the transaction; None when there is none."""
    row = await connection.fetchrow(
        "SELECT id, provider_type, format, first_day, last_day, billed, booked, drift_ratio, is_alarming, rows_off,"
        " created_by, created_at, accepted_by, accepted_at FROM reconciliations WHERE id = $1 FOR UPDATE",
        reconciliation_id,
    )
    return _reconciliation(row) if row else None


async def has_bill(connection: Connection, provider_type: str, day: date, by: str) -> bool:
    """Whether somebody had a provider's bill of one day held against the ledger."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM reconciliations WHERE provider_type = $1 AND first_day = $2 AND last_day = $2"
            " AND created_by = $3)",
            provider_type,
            day,
            by,
        )
    )


async def rows_of(connection: Connection, reconciliation_id: str) -> list[MatchedRow]:
    """The rows of a reconciliation, by day and model."""
    rows = await connection.fetch(
        "SELECT day, model, billed, booked, billed_tokens, booked_tokens FROM reconciliation_rows"
        " WHERE reconciliation_id = $1 ORDER BY day, model",
        reconciliation_id,
    )
    return [MatchedRow(**dict(row)) for row in rows]


async def accept(connection: Connection, reconciliation_id: str, by: str, at: datetime) -> None:
    """Note who accepted a reconciliation's drift."""
    await connection.execute(
        "UPDATE reconciliations SET accepted_by = $2, accepted_at = $3 WHERE id = $1", reconciliation_id, by, at
    )


def _reconciliation(row: asyncpg.Record) -> Reconciliation:
    return Reconciliation(**dict(row))
