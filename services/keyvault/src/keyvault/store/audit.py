"""The audit trail in Postgres: appended under a lock, read, never changed (grants and a trigger see to that)."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from common.postgres.pool import Connection

from keyvault.domain.audit import AuditEntry, Link


async def lock_chain(connection: Connection) -> None:
    """Make this transaction the only one that appends, until it ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.audit_entries'))")


async def last_link(connection: Connection) -> Link:
    """Where the chain ends."""
    row = await connection.fetchrow("SELECT id, hash FROM audit_entries ORDER BY id DESC LIMIT 1")
    return Link(row["id"], row["hash"]) if row else Link()


async def insert(connection: Connection, entry: AuditEntry) -> None:
    """Append an entry."""
    await connection.execute(
        "INSERT INTO audit_entries (id, at, actor, action, subject, origin, detail, previous_hash, hash)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        entry.id,
        entry.at,
        entry.actor,
        entry.action,
        entry.subject,
        entry.origin,
        dict(entry.detail),
        entry.previous_hash,
        entry.hash,
    )


async def chained_events(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    """Which of these events are in the trail."""
    rows = await connection.fetch(
        "SELECT event_id FROM chained_events WHERE event_id = ANY($1::text[])", list(event_ids)
    )
    return {str(row["event_id"]) for row in rows}


async def note_chained(connection: Connection, event_id: str, entry_id: int) -> None:
    """Note that an event is in the trail."""
    await connection.execute("INSERT INTO chained_events (event_id, entry_id) VALUES ($1, $2)", event_id, entry_id)


async def page(connection: Connection, before_id: int | None, limit: int) -> list[AuditEntry]:
    """Entries, the newest first, older than `before_id`."""
    rows = await connection.fetch(
        "SELECT * FROM audit_entries WHERE ($1::bigint IS NULL OR id < $1) ORDER BY id DESC LIMIT $2", before_id, limit
    )
    return [_entry(row) for row in rows]


async def after(connection: Connection, after_id: int, limit: int) -> list[AuditEntry]:
    """Entries in their order, from the one after `after_id`."""
    rows = await connection.fetch("SELECT * FROM audit_entries WHERE id > $1 ORDER BY id LIMIT $2", after_id, limit)
    return [_entry(row) for row in rows]


def _entry(row: asyncpg.Record) -> AuditEntry:
    return AuditEntry(
        id=row["id"],
        at=row["at"],
        actor=row["actor"],
        action=row["action"],
        subject=row["subject"],
        origin=row["origin"],
        detail=row["detail"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )
