"""Table `providers`."""

from __future__ import annotations

import asyncpg
from common.postgres.pool import Connection

from catalog_sync.domain.providers import Provider


async def all_providers(connection: Connection) -> list[Provider]:
    """Every instance, by name."""
    rows = await connection.fetch(
        "SELECT id, name, display_name, provider_type, base_url, headers, options, enabled, priority, created_at,"
        ' updated_at FROM providers ORDER BY name COLLATE "C"'
    )
    return [_provider(row) for row in rows]


async def page_of_providers(connection: Connection, after_name: str | None, limit: int) -> list[Provider]:
    """Instances by name, from the first one after a name on."""
    rows = await connection.fetch(
        "SELECT id, name, display_name, provider_type, base_url, headers, options, enabled, priority, created_at,"
        ' updated_at FROM providers WHERE ($1::text IS NULL OR name COLLATE "C" > $1)'
        ' ORDER BY name COLLATE "C" LIMIT $2',
        after_name,
        limit,
    )
    return [_provider(row) for row in rows]


async def provider_by_id(connection: Connection, provider_id: str) -> Provider | None:
    """One instance."""
    row = await connection.fetchrow(
        "SELECT id, name, display_name, provider_type, base_url, headers, options, enabled, priority, created_at,"
        " updated_at FROM providers WHERE id = $1",
        provider_id,
    )
    return _provider(row) if row else None


async def insert_provider(connection: Connection, provider: Provider) -> None:
    """Add one; a unique violation when its name is taken."""
    await connection.execute(
        "INSERT INTO providers (id, name, display_name, provider_type, base_url, headers, options, enabled, priority,"
        " created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        provider.id,
        provider.name,
        provider.display_name,
        provider.provider_type,
        provider.base_url,
        dict(provider.headers),
        dict(provider.options),
        provider.enabled,
        provider.priority,
        provider.created_at,
        provider.updated_at,
    )


async def update_provider(connection: Connection, provider: Provider) -> None:
    """Write one's present state."""
    await connection.execute(
        "UPDATE providers SET name = $2, display_name = $3, base_url = $4, headers = $5, options = $6, enabled = $7,"
        " priority = $8, updated_at = $9 WHERE id = $1",
        provider.id,
        provider.name,
        provider.display_name,
        provider.base_url,
        dict(provider.headers),
        dict(provider.options),
        provider.enabled,
        provider.priority,
        provider.updated_at,
    )


async def delete_provider(connection: Connection, provider_id: str) -> None:
    """Remove one."""
    await connection.execute("DELETE FROM providers WHERE id = $1", provider_id)


def _provider(row: asyncpg.Record) -> Provider:
    return Provider(
        id=row["id"],
        name=row["name"],
        display_name=row["display_name"],
        provider_type=row["provider_type"],
        base_url=row["base_url"],
        headers=row["headers"],
        options=row["options"],
        enabled=row["enabled"],
        priority=row["priority"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
