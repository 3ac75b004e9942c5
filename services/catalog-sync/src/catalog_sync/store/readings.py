"""Tables `readings`, `quarantine` and `pins`: what sources said, what waits for a person, what no source may change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg
from common.postgres.pool import Connection

from catalog_sync.domain.prices import ALWAYS, content_of, price_from
from catalog_sync.domain.syncs import HeldItem
from catalog_sync.domain.vetting import Held, Reading


async def all_readings(connection: Connection) -> dict[str, list[Reading]]:
    """The last readings of every source, by model."""
    found: dict[str, list[Reading]] = {}
    for row in await connection.fetch("SELECT source, model_id, fingerprint, price FROM readings ORDER BY source"):
        price = price_from("", ALWAYS, row["price"]["rates"], row["price"]["tiers"], row["price"]["variants"])
        reading = Reading(row["source"], row["model_id"], row["fingerprint"], price)
        found.setdefault(reading.model_id, []).append(reading)
    return found


async def put_readings(connection: Connection, readings: Sequence[Reading], read_at: datetime) -> None:
    """Write down what a source said, over what it said before."""
    await connection.executemany(
        "INSERT INTO readings (source, model_id, fingerprint, price, read_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (source, model_id) DO UPDATE SET fingerprint = excluded.fingerprint, price = excluded.price,"
        " read_at = excluded.read_at WHERE readings.fingerprint <> excluded.fingerprint",
        [(one.source, one.model_id, one.fingerprint, content_of(one.price), read_at) for one in readings],
    )


async def forget_readings(connection: Connection, source: str, listed: Collection[str]) -> None:
    """Forget what a source said of models that it lists no more, so that it confirms nobody's price of them."""
    await connection.execute(
        "DELETE FROM readings WHERE source = $1 AND NOT model_id = ANY($2::text[])", source, list(listed)
    )


async def withdraw(connection: Connection, source: str, subjects: Collection[str], said: Collection[str]) -> None:
    """Close what waits of these subjects, unless it is said still (`said`: fingerprints)."""
    await connection.execute(
        "UPDATE quarantine SET state = 'withdrawn' WHERE source = $1 AND state = 'open'"
        " AND subject = ANY($2::text[]) AND NOT fingerprint = ANY($3::text[])",
        source,
        list(subjects),
        list(said),
    )


async def withdraw_confirmed(connection: Connection, confirmed: Sequence[tuple[str, str]]) -> None:
    """Close what waits of these (source, subject): it has come true by another way."""
    await connection.execute(
        "UPDATE quarantine q SET state = 'withdrawn' FROM unnest($1::text[], $2::text[]) AS c (source, subject)"
        " WHERE q.state = 'open' AND q.source = c.source AND q.subject = c.subject",
        [source for source, _ in confirmed],
        [subject for _, subject in confirmed],
    )


async def hold(connection: Connection, source: str, held: Sequence[tuple[str, Held]], found_at: datetime) -> None:
    """Write down what waits for a person (each with an id to be); what was decided already stays decided."""
    await connection.executemany(
        "INSERT INTO quarantine (id, source, subject, reason, fingerprint, proposed, present, state, found_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8)"
        " ON CONFLICT (source, subject, fingerprint) DO UPDATE SET state = 'open', found_at = excluded.found_at,"
        " present = excluded.present WHERE quarantine.state = 'withdrawn'",
        [
            (item_id, source, one.subject, one.reason, one.fingerprint, one.proposed, one.present, found_at)
            for item_id, one in held
        ],
    )


async def page_of_quarantine(
    connection: Connection,
    state: str | None,
    source: str | None,
    reason: str | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[HeldItem]:
    """What waits, or was decided, the latest first."""
    rows = await connection.fetch(
        "SELECT id, source, subject, reason, proposed, present, state, found_at, decided_at, decided_by FROM quarantine"
        " WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR source = $2)"
        " AND ($3::text IS NULL OR reason = $3)"
        " AND ($4::timestamptz IS NULL OR (found_at, id) < ($4, $5::text))"
        " ORDER BY found_at DESC, id DESC LIMIT $6",
        state,
        source,
        reason,
        before[0] if before else None,
        before[1] if before else None,
        limit,
    )
    return [_item(row) for row in rows]


async def item_by_id(connection: Connection, item_id: str) -> HeldItem | None:
    """One thing that waits or was decided."""
    row = await connection.fetchrow(
        "SELECT id, source, subject, reason, proposed, present, state, found_at, decided_at, decided_by FROM quarantine"
        " WHERE id = $1",
        item_id,
    )
    return _item(row) if row else None


async def decide(connection: Connection, item_id: str, state: str, decided_by: str, decided_at: datetime) -> None:
    """Write down what a person decided."""
    await connection.execute(
        "UPDATE quarantine SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
        item_id,
        state,
        decided_by,
        decided_at,
    )


async def pinned_models(connection: Connection) -> set[str]:
    """The models whose price no source may change."""
    return {str(row["model_id"]) for row in await connection.fetch("SELECT model_id FROM pins")}


async def pin(connection: Connection, model_id: str, pinned_by: str, pinned_at: datetime) -> None:
    """Pin a model's price."""
    await connection.execute(
        "INSERT INTO pins (model_id, pinned_by, pinned_at) VALUES ($1, $2, $3) ON CONFLICT (model_id) DO NOTHING",
        model_id,
        pinned_by,
        pinned_at,
    )


async def unpin(connection: Connection, model_id: str) -> bool:
    """Let sources change a model's price again; whether it was pinned."""
    return (await connection.execute("DELETE FROM pins WHERE model_id = $1", model_id)) != "DELETE 0"


def _item(row: asyncpg.Record) -> HeldItem:
    return HeldItem(**row)
