"""Teams and their members in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from common.postgres.pool import Connection

from keyvault.domain.teams import Member, Team


async def insert(connection: Connection, team: Team) -> None:
    """Add a team."""
    await connection.execute(
        "INSERT INTO teams (id, name, enabled, rate_limit, token_limit, max_concurrency, monthly_budget, created_at,"
        " updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        team.id,
        team.name,
        team.enabled,
        team.rate_limit,
        team.token_limit,
        team.max_concurrency,
        team.monthly_budget,
        team.created_at,
        team.updated_at,
    )


async def update(connection: Connection, team: Team) -> None:
    """Write what admins set of a team, and whether it was removed."""
    await connection.execute(
        "UPDATE teams SET name = $2, enabled = $3, rate_limit = $4, token_limit = $5, max_concurrency = $6,"
        " monthly_budget = $7, updated_at = $8, removed_at = $9 WHERE id = $1",
        team.id,
        team.name,
        team.enabled,
        team.rate_limit,
        team.token_limit,
        team.max_concurrency,
        team.monthly_budget,
        team.updated_at,
        team.removed_at,
    )


async def by_id(connection: Connection, team_id: str, member_id: str | None) -> Team | None:
    """A team that was not removed; with `member_id`, only if that user is in it."""
    row = await connection.fetchrow(
        "SELECT * FROM teams t WHERE id = $1 AND removed_at IS NULL AND ($2::text IS NULL OR EXISTS"
        " (SELECT 1 FROM team_members m WHERE m.team_id = t.id AND m.user_id = $2))",
        team_id,
        member_id,
    )
    return _team(row) if row else None


async def hold(connection: Connection, team_id: str) -> Team | None:
    """A team that was not removed, which nobody changes until the transaction ends (others may hold it, too)."""
    row = await connection.fetchrow("SELECT * FROM teams WHERE id = $1 AND removed_at IS NULL FOR SHARE", team_id)
    return _team(row) if row else None


async def lock(connection: Connection, team_ids: Sequence[str]) -> list[Team]:
    """Teams that were not removed, to be changed or told of, in one order for everybody."""
    rows = await connection.fetch(
        "SELECT * FROM teams WHERE id = ANY($1::text[]) AND removed_at IS NULL ORDER BY id FOR NO KEY UPDATE",
        list(team_ids),
    )
    return [_team(row) for row in rows]


async def page(connection: Connection, member_id: str | None, before_id: str | None, limit: int) -> list[Team]:
    """Teams that were not removed, the newest first: those that a user is in, or all."""
    rows = await connection.fetch(
        "SELECT * FROM teams t WHERE removed_at IS NULL AND ($1::text IS NULL OR EXISTS"
        " (SELECT 1 FROM team_members m WHERE m.team_id = t.id AND m.user_id = $1))"
        " AND ($2::text IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        member_id,
        before_id,
        limit,
    )
    return [_team(row) for row in rows]


async def live_ids(connection: Connection) -> list[str]:
    """Ids of all teams that were not removed."""
    rows = await connection.fetch("SELECT id FROM teams WHERE removed_at IS NULL ORDER BY id")
    return [str(row["id"]) for row in rows]


async def add_member(connection: Connection, team_id: str, user_id: str, at: datetime) -> bool:
    """Take somebody into a team; False when they were in it."""
    added = await connection.fetchval(
        "INSERT INTO team_members (team_id, user_id, added_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (team_id, user_id) DO NOTHING RETURNING user_id",
        team_id,
        user_id,
        at,
    )
    return added is not None


async def remove_member(connection: Connection, team_id: str, user_id: str) -> bool:
    """Take somebody out of a team; False when they were not in it."""
    removed = await connection.fetchval(
        "DELETE FROM team_members WHERE team_id = $1 AND user_id = $2 RETURNING user_id", team_id, user_id
    )
    return removed is not None


async def members(connection: Connection, team_id: str, after_id: str | None, limit: int) -> list[Member]:
    """Who is in a team, the longest known account first."""
    rows = await connection.fetch(
        "SELECT u.id, u.email, u.name, m.added_at FROM team_members m JOIN users u ON u.id = m.user_id"
        " WHERE m.team_id = $1 AND ($2::text IS NULL OR m.user_id > $2) ORDER BY m.user_id LIMIT $3",
        team_id,
        after_id,
        limit,
    )
    return [Member(row["id"], row["email"], row["name"], row["added_at"]) for row in rows]


def _team(row: asyncpg.Record) -> Team:
    return Team(
        id=row["id"],
        name=row["name"],
        enabled=row["enabled"],
        rate_limit=row["rate_limit"],
        token_limit=row["token_limit"],
        max_concurrency=row["max_concurrency"],
        monthly_budget=row["monthly_budget"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        removed_at=row["removed_at"],
    )
