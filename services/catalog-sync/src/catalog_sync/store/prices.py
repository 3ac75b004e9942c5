"""Table `prices`: rows are read and added, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from common.postgres.pool import Connection
from common.pricing import Price

from catalog_sync.domain.prices import PriceRow, content_of, price_from


async def all_prices(connection: Connection) -> list[tuple[str, Price]]:
    """Model id and price of every row, in the order they were added in."""
    rows = await connection.fetch("SELECT model_id, version, starts_at, rates, tiers, variants FROM prices ORDER BY id")
    return [(str(row["model_id"]), _price(row)) for row in rows]


async def prices_of_model(connection: Connection, model_id: str) -> list[Price]:
    """One model's prices, in the order they were added in."""
    rows = await connection.fetch(
        "SELECT version, starts_at, rates, tiers, variants FROM prices WHERE model_id = $1 ORDER BY id", model_id
    )
    return [_price(row) for row in rows]


async def prices_in_force(connection: Connection, model_ids: Sequence[str], at: datetime) -> dict[str, PriceRow]:
    """The row that holds at an instant, by model; models without a price are missing."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (model_id) id, model_id, version, starts_at, rates, tiers, variants, source, read_at"
        " FROM prices WHERE model_id = ANY($1::text[]) AND starts_at <= $2"
        " ORDER BY model_id, starts_at DESC, id DESC",
        list(model_ids),
        at,
    )
    return {row["model_id"]: _row(row) for row in rows}


async def page_of_prices(
    connection: Connection, model_id: str, before_id: int | None, limit: int | None
) -> list[PriceRow]:
    """One model's price rows, the latest added first; without a limit all of them."""
    rows = await connection.fetch(
        "SELECT id, model_id, version, starts_at, rates, tiers, variants, source, read_at FROM prices"
        " WHERE model_id = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        model_id,
        before_id,
        limit,
    )
    return [_row(row) for row in rows]


async def insert_prices(
    connection: Connection, prices: Sequence[tuple[str, Price]], source: str, read_at: datetime
) -> None:
    """Add rows (model id, price), all read from one source at one time."""
    await connection.executemany(
        "INSERT INTO prices (model_id, version, starts_at, rates, tiers, variants, source, read_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (model_id, price.version, price.starts_at, *content_of(price).values(), source, read_at)
            for model_id, price in prices
        ],
    )


def _row(row: asyncpg.Record) -> PriceRow:
    return PriceRow(row["id"], row["model_id"], _price(row), row["source"], row["read_at"])


def _price(row: asyncpg.Record) -> Price:
    return price_from(row["version"], row["starts_at"], row["rates"], row["tiers"], row["variants"])
