"""Tables `syncs` and `seen_models`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from common.postgres.pool import Connection

from catalog_sync.domain.syncs import SeenModel, Sync


async def insert_sync(connection: Connection, sync: Sync) -> None:
    """Add the record of one sync."""
    await connection.execute(
        "INSERT INTO syncs (id, source, started_at, ended_at, added, changed, gone, prices_added, held, changes, error)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        sync.id,
        sync.source,
        sync.started_at,
        sync.ended_at,
        sync.added,
        sync.changed,
        sync.gone,
        sync.prices_added,
        sync.held,
        dict(sync.changes),
        sync.error,
    )


async def page_of_syncs(connection: Connection, before: tuple[datetime, str] | None, limit: int) -> list[Sync]:
    """Syncs, the latest first, from the first one before a position on."""
    rows = await connection.fetch(
        "SELECT id, source, started_at, ended_at, added, changed, gone, prices_added, held, error FROM syncs"
        " WHERE ($1::timestamptz IS NULL OR (started_at, id) < ($1, $2::text))"
        " ORDER BY started_at DESC, id DESC LIMIT $3",
        before[0] if before else None,
        before[1] if before else None,
        limit,
    )
    return [Sync(**row) for row in rows]


async def sync_by_id(connection: Connection, sync_id: str) -> Sync | None:
    """One sync, with what it changed."""
    row = await connection.fetchrow(
        "SELECT id, source, started_at, ended_at, added, changed, gone, prices_added, held, changes, error FROM syncs"
        " WHERE id = $1",
        sync_id,
    )
    return Sync(**row) if row else None


async def claim_turn(connection: Connection, source: str, now: datetime, next_at: datetime, first_at: datetime) -> bool:
    """Whether a source is due and this replica is the one to read it; then its next turn is at `next_at`. A source that
    nobody has scheduled yet is due at `first_at`."""
    claimed = await connection.fetchval(
        "INSERT INTO schedules (source, next_at) VALUES ($1, $4)"
        " ON CONFLICT (source) DO UPDATE SET next_at = $3 WHERE schedules.next_at <= $2"
        " RETURNING next_at = $3",
        source,
        now,
        next_at,
        first_at,
    )
    return bool(claimed)


async def count_sightings(connection: Connection, sightings: Mapping[tuple[str, str], Sequence[datetime]]) -> None:
    """Count sightings of names. Only those later than the last one counted are, so that a redelivered batch counts
    nothing twice."""
    await connection.executemany(
        "INSERT INTO seen_models (provider_type, name, first_seen, last_seen, calls)"
        " SELECT $1, $2, min(seen_at), max(seen_at), count(*) FROM unnest($3::timestamptz[]) AS seen_at"
        " ON CONFLICT (provider_type, name) DO UPDATE SET"
        " first_seen = least(seen_models.first_seen, excluded.first_seen),"
        " last_seen = greatest(seen_models.last_seen, excluded.last_seen),"
        " calls = seen_models.calls"
        " + (SELECT count(*) FROM unnest($3::timestamptz[]) AS seen_at WHERE seen_at > seen_models.last_seen)",
        [(provider_type, name, list(instants)) for (provider_type, name), instants in sightings.items()],
    )


async def forget_oldest(connection: Connection, kept: int) -> None:
    """Keep the names seen last, so many of them."""
    await connection.execute(
        "DELETE FROM seen_models WHERE (provider_type, name) IN"
        " (SELECT provider_type, name FROM seen_models ORDER BY last_seen DESC, provider_type, name OFFSET $1)",
        kept,
    )


async def page_of_seen(connection: Connection, after: tuple[str, str] | None, limit: int) -> list[SeenModel]:
    """Names that were called and still have no price, by provider type and name. `like`: the model whose name it is but
    for a date at its end."""
    rows = await connection.fetch(
        "SELECT s.provider_type, s.name, s.first_seen, s.last_seen, s.calls, EXISTS (SELECT 1 FROM models m"
        " WHERE (s.provider_type = '' OR m.provider_type = s.provider_type)"
        " AND (m.name = s.name OR m.names @> ARRAY[s.name])) AS is_listed,"
        " (SELECT min(m.name) FROM models m WHERE (s.provider_type = '' OR m.provider_type = s.provider_type)"
        " AND s.name ~ '[-@](20[0-9]{2}-?[0-9]{2}-?[0-9]{2}|[0-9]{4})$' AND (m.name = b.name OR m.names @> ARRAY[b.name])"
        ') AS "like"'
        " FROM seen_models s CROSS JOIN LATERAL"
        " (SELECT regexp_replace(s.name, '[-@](20[0-9]{2}-?[0-9]{2}-?[0-9]{2}|[0-9]{4})$', '') AS name) b"
        ' WHERE ($1::text IS NULL OR (s.provider_type COLLATE "C", s.name COLLATE "C") > ($1, $2::text))'
        " AND NOT EXISTS (SELECT 1 FROM models m JOIN prices p ON p.model_id = m.id"
        " WHERE (s.provider_type = '' OR m.provider_type = s.provider_type)"
        " AND (m.name = s.name OR m.names @> ARRAY[s.name]))"
        ' ORDER BY s.provider_type COLLATE "C", s.name COLLATE "C" LIMIT $3',
        after[0] if after else None,
        after[1] if after else None,
        limit,
    )
    return [SeenModel(**row) for row in rows]
