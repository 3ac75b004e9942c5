"""Tables `aliases` and `deployments`, read together: an alias comes with its deployments in their order."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from common.postgres.pool import Connection

from catalog_sync.domain.aliases import Alias, Deployment


async def page_of_aliases(connection: Connection, after_alias: str | None, limit: int | None) -> list[Alias]:
    """Aliases by name, from the first one after a name on; without a limit all of them."""
    rows = await connection.fetch(
        "SELECT a.id, a.alias, a.strategy, a.enabled, a.timeouts, a.created_at, a.updated_at,"
        " (SELECT jsonb_agg(jsonb_build_array(d.provider, d.model, d.weight, d.priority) ORDER BY d.position)"
        " FROM deployments d WHERE d.alias_id = a.id) AS deployments FROM aliases a"
        ' WHERE ($1::text IS NULL OR a.alias COLLATE "C" > $1) ORDER BY a.alias COLLATE "C" LIMIT $2',
        after_alias,
        limit,
    )
    return [_alias(row) for row in rows]


async def alias_by_id(connection: Connection, alias_id: str) -> Alias | None:
    """One alias."""
    row = await connection.fetchrow(
        "SELECT a.id, a.alias, a.strategy, a.enabled, a.timeouts, a.created_at, a.updated_at,"
        " (SELECT jsonb_agg(jsonb_build_array(d.provider, d.model, d.weight, d.priority) ORDER BY d.position)"
        " FROM deployments d WHERE d.alias_id = a.id) AS deployments FROM aliases a WHERE a.id = $1",
        alias_id,
    )
    return _alias(row) if row else None


async def id_of_alias(connection: Connection, alias: str) -> str | None:
    """The id of the alias of this name."""
    found = await connection.fetchval("SELECT id FROM aliases WHERE alias = $1", alias)
    return None if found is None else str(found)


async def aliases_leading_to(connection: Connection, provider: str) -> list[str]:
    """The names of the aliases that have a deployment at a provider of this name."""
    rows = await connection.fetch(
        "SELECT DISTINCT a.alias FROM aliases a JOIN deployments d ON d.alias_id = a.id WHERE d.provider = $1 ORDER BY 1",
        provider,
    )
    return [str(row["alias"]) for row in rows]


async def insert_alias(connection: Connection, alias: Alias) -> None:
    """Add one, without its deployments."""
    await connection.execute(
        "INSERT INTO aliases (id, alias, strategy, enabled, timeouts, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        alias.id,
        alias.alias,
        alias.strategy,
        alias.enabled,
        dict(alias.timeouts),
        alias.created_at,
        alias.updated_at,
    )


async def update_alias(connection: Connection, alias: Alias) -> None:
    """Write one's present state, without its deployments."""
    await connection.execute(
        "UPDATE aliases SET alias = $2, strategy = $3, enabled = $4, timeouts = $5, updated_at = $6 WHERE id = $1",
        alias.id,
        alias.alias,
        alias.strategy,
        alias.enabled,
        dict(alias.timeouts),
        alias.updated_at,
    )


async def insert_deployments(connection: Connection, alias_id: str, deployments: Sequence[Deployment]) -> None:
    """Add an alias's deployments, in their order."""
    await connection.executemany(
        "INSERT INTO deployments (alias_id, position, provider, model, weight, priority) VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (alias_id, position, one.provider, one.model, one.weight, one.priority)
            for position, one in enumerate(deployments)
        ],
    )


async def delete_deployments(connection: Connection, alias_id: str) -> None:
    """Remove all of an alias's deployments."""
    await connection.execute("DELETE FROM deployments WHERE alias_id = $1", alias_id)


async def delete_alias(connection: Connection, alias_id: str) -> None:
    """Remove one, and its deployments with it."""
    await connection.execute("DELETE FROM aliases WHERE id = $1", alias_id)


def _alias(row: asyncpg.Record) -> Alias:
    return Alias(
        id=row["id"],
        alias=row["alias"],
        deployments=tuple(Deployment(*one) for one in row["deployments"] or ()),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        strategy=row["strategy"],
        enabled=row["enabled"],
        timeouts=row["timeouts"],
    )
