"""Rotation schedules of virtual keys in Postgres."""

from __future__ import annotations

from datetime import datetime

import asyncpg
from common.postgres.pool import Connection

from keyvault.domain.key_rotations import RotationSchedule


async def put(connection: Connection, schedule: RotationSchedule) -> None:
    """Write a key's schedule; nobody is awaited."""
    await connection.execute(
        "INSERT INTO key_rotations (key_id, every_days, grace_seconds, next_at, set_by) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (key_id) DO UPDATE SET every_days = $2, grace_seconds = $3, next_at = $4, set_by = $5,"
        " due_since = NULL, reminded_at = NULL",
        schedule.key_id,
        schedule.every_days,
        schedule.grace_seconds,
        schedule.next_at,
        schedule.set_by,
    )


async def remove(connection: Connection, key_id: str) -> bool:
    """Forget a key's schedule; False when it has none."""
    removed = await connection.fetchval("DELETE FROM key_rotations WHERE key_id = $1 RETURNING key_id", key_id)
    return removed is not None


async def of_key(connection: Connection, key_id: str) -> RotationSchedule | None:
    """A key's schedule."""
    row = await connection.fetchrow("SELECT * FROM key_rotations WHERE key_id = $1", key_id)
    return schedule_of(row) if row else None


async def due(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Ids of keys whose schedule has fallen due, the longest due first."""
    rows = await connection.fetch(
        "SELECT r.key_id FROM key_rotations r JOIN virtual_keys k ON k.id = r.key_id"
        " WHERE r.due_since IS NULL AND r.next_at <= $1 AND k.revoked_at IS NULL ORDER BY r.next_at LIMIT $2",
        now,
        limit,
    )
    return [str(row["key_id"]) for row in rows]


async def note_due(connection: Connection, key_id: str, now: datetime) -> RotationSchedule | None:
    """Note that a key's owner is awaited; None when somebody was faster, or the schedule has changed."""
    row = await connection.fetchrow(
        "UPDATE key_rotations SET due_since = $2, reminded_at = NULL"
        " WHERE key_id = $1 AND due_since IS NULL AND next_at <= $2 RETURNING *",
        key_id,
        now,
    )
    return schedule_of(row) if row else None


async def remind(connection: Connection, now: datetime, limit: int) -> list[RotationSchedule]:
    """Schedules half of whose grace period has passed without the owner's coming, each once."""
    rows = await connection.fetch(
        "UPDATE key_rotations SET reminded_at = $1 WHERE key_id IN ("
        " SELECT r.key_id FROM key_rotations r JOIN virtual_keys k ON k.id = r.key_id"
        " WHERE r.due_since + r.grace_seconds * interval '0.5 second' <= $1 AND r.reminded_at IS NULL"
        " AND k.revoked_at IS NULL ORDER BY r.due_since LIMIT $2 FOR NO KEY UPDATE OF r SKIP LOCKED) RETURNING *",
        now,
        limit,
    )
    return [schedule_of(row) for row in rows]


async def begin_anew(connection: Connection, key_id: str, now: datetime) -> None:
    """A key has its next secret: its schedule, if it has one, begins anew."""
    await connection.execute(
        "UPDATE key_rotations SET due_since = NULL, reminded_at = NULL,"
        " next_at = $2::timestamptz + every_days * interval '1 day' WHERE key_id = $1",
        key_id,
        now,
    )


def schedule_of(row: asyncpg.Record) -> RotationSchedule:
    """What a row says."""
    return RotationSchedule(
        key_id=row["key_id"],
        every_days=row["every_days"],
        grace_seconds=row["grace_seconds"],
        next_at=row["next_at"],
        set_by=row["set_by"],
        due_since=row["due_since"],
    )
