"""What the public list asks: models with their provider and the rates in force. The provider shown is the default
instance of the model's type; a model is enabled where it is and an instance of its type is. Names sort by code point, so
that the order does not hang on the server's locale."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import asyncpg
from common.postgres.pool import Connection

from catalog_sync.domain.models import ListedEntry, ModelFilter
from catalog_sync.domain.provider_types import display_name_of
from catalog_sync.domain.providers import default_id
from catalog_sync.store.models import model_of


async def listed_models(
    connection: Connection, asked: ModelFilter, sort: str, limit: int, offset: int, now: datetime
) -> tuple[list[ListedEntry], int]:
    """A part of the models asked for, and how many there are in all (0, too, when the part begins after the last).
    `sort`: name, price or context_length, `-` before it reverses; nulls last.

    The part is chosen first, and only its prices are looked up; all are only where they decide the order.
    """
    rows = await connection.fetch(
        "WITH asked AS (SELECT m.id, m.name, m.provider_type, m.context_length,"
        " CASE WHEN $5 IN ('price', '-price') THEN (SELECT (r.rates->>'input_tokens')::numeric FROM prices r"
        " WHERE r.model_id = m.id AND r.starts_at <= $8 ORDER BY r.starts_at DESC, r.id DESC LIMIT 1) END AS rate"
        " FROM models m"
        " WHERE ($1::text IS NULL OR m.provider_type = $1 OR EXISTS"
        " (SELECT 1 FROM providers i WHERE i.provider_type = m.provider_type AND $1 IN (i.name, i.id)))"
        " AND ($2::text IS NULL OR strpos(lower(m.name), lower($2)) > 0"
        " OR strpos(lower(m.display_name), lower($2)) > 0 OR strpos(lower(m.description), lower($2)) > 0)"
        " AND ($3::text IS NULL OR $3 = ANY(m.capabilities))"
        " AND ($4::boolean IS NULL OR $4 = (m.enabled"
        " AND EXISTS (SELECT 1 FROM providers e WHERE e.provider_type = m.provider_type AND e.enabled)))),"
        " part AS (SELECT id, count(*) OVER () AS total, row_number() OVER ("
        " ORDER BY CASE WHEN $5 = 'price' THEN rate END NULLS LAST,"
        " CASE WHEN $5 = '-price' THEN rate END DESC NULLS LAST,"
        " CASE WHEN $5 = 'context_length' THEN context_length END NULLS LAST,"
        " CASE WHEN $5 = '-context_length' THEN context_length END DESC NULLS LAST,"
        " CASE WHEN $5 = '-name' THEN name COLLATE \"C\" END DESC,"
        ' name COLLATE "C", provider_type COLLATE "C") AS place FROM asked ORDER BY place LIMIT $6 OFFSET $7)'
        " SELECT m.*, part.total, p.id AS provider_id, p.display_name AS provider_name, current.rates AS rates,"
        " EXISTS (SELECT 1 FROM providers e WHERE e.provider_type = m.provider_type AND e.enabled) AS is_served"
        " FROM part JOIN models m ON m.id = part.id LEFT JOIN providers p ON p.name = m.provider_type"
        " LEFT JOIN LATERAL (SELECT r.rates FROM prices r WHERE r.model_id = m.id AND r.starts_at <= $8"
        " ORDER BY r.starts_at DESC, r.id DESC LIMIT 1) current ON true ORDER BY part.place",
        asked.provider,
        asked.search,
        asked.capability,
        asked.enabled,
        sort,
        limit,
        offset,
        now,
    )
    return [_entry(row) for row in rows], int(rows[0]["total"]) if rows else 0


async def count_models(connection: Connection, asked: ModelFilter) -> int:
    """How many models are asked for."""
    count = await connection.fetchval(
        "SELECT count(*) FROM models m"
        " WHERE ($1::text IS NULL OR m.provider_type = $1 OR EXISTS"
        " (SELECT 1 FROM providers i WHERE i.provider_type = m.provider_type AND $1 IN (i.name, i.id)))"
        " AND ($2::text IS NULL OR strpos(lower(m.name), lower($2)) > 0"
        " OR strpos(lower(m.display_name), lower($2)) > 0 OR strpos(lower(m.description), lower($2)) > 0)"
        " AND ($3::text IS NULL OR $3 = ANY(m.capabilities))"
        " AND ($4::boolean IS NULL OR $4 = (m.enabled"
        " AND EXISTS (SELECT 1 FROM providers e WHERE e.provider_type = m.provider_type AND e.enabled)))",
        asked.provider,
        asked.search,
        asked.capability,
        asked.enabled,
    )
    return int(count)


async def listed_model(connection: Connection, model_id: str, now: datetime) -> ListedEntry | None:
    """One model as the list shows it."""
    row = await connection.fetchrow(
        "SELECT m.*, p.id AS provider_id, p.display_name AS provider_name, current.rates AS rates,"
        " EXISTS (SELECT 1 FROM providers e WHERE e.provider_type = m.provider_type AND e.enabled) AS is_served"
        " FROM models m LEFT JOIN providers p ON p.name = m.provider_type"
        " LEFT JOIN LATERAL (SELECT r.rates FROM prices r WHERE r.model_id = m.id AND r.starts_at <= $2"
        " ORDER BY r.starts_at DESC, r.id DESC LIMIT 1) current ON true WHERE m.id = $1",
        model_id,
        now,
    )
    return _entry(row) if row else None


async def listed_by_references(connection: Connection, references: Sequence[str], now: datetime) -> list[ListedEntry]:
    """The models of these ids or `provider/name`s, in no order."""
    rows = await connection.fetch(
        "SELECT m.*, p.id AS provider_id, p.display_name AS provider_name, current.rates AS rates,"
        " EXISTS (SELECT 1 FROM providers e WHERE e.provider_type = m.provider_type AND e.enabled) AS is_served"
        " FROM models m LEFT JOIN providers p ON p.name = m.provider_type"
        " LEFT JOIN LATERAL (SELECT r.rates FROM prices r WHERE r.model_id = m.id AND r.starts_at <= $2"
        " ORDER BY r.starts_at DESC, r.id DESC LIMIT 1) current ON true"
        " WHERE m.id = ANY($1::text[]) OR m.provider_type || '/' || m.name = ANY($1::text[])",
        list(references),
        now,
    )
    return [_entry(row) for row in rows]


def _entry(row: asyncpg.Record) -> ListedEntry:
    rates = row["rates"]
    return ListedEntry(
        model=model_of(row),
        provider_id=row["provider_id"] or default_id(row["provider_type"]),
        provider_name=row["provider_name"] or display_name_of(row["provider_type"]),
        enabled=row["enabled"] and row["is_served"],
        rates=None if rates is None else {name: Decimal(rate) for name, rate in rates.items()},
    )
