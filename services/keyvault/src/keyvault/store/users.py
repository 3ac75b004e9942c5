"""Accounts in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import asyncpg
from common.contracts.snapshots import AccountTier, Role
from common.postgres.pool import Connection

from keyvault.domain.accounts import User


async def insert(connection: Connection, user: User) -> bool:
    """Add an account; False when its address is taken."""
    added = await connection.fetchval(
        "INSERT INTO users (id, email, name, password_hash, role, tier, enabled, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (lower(email)) DO NOTHING RETURNING id",
        user.id,
        user.email,
        user.name,
        user.password_hash,
        user.role,
        user.tier,
        user.enabled,
        user.created_at,
        user.updated_at,
    )
    return added is not None


async def by_email(connection: Connection, email: str) -> User | None:
    """The account of an address."""
    row = await connection.fetchrow("SELECT * FROM users WHERE lower(email) = lower($1)", email)
    return _user(row) if row else None


async def by_id(connection: Connection, user_id: str) -> User | None:
    """The account of an id."""
    row = await connection.fetchrow("SELECT * FROM users WHERE id = $1", user_id)
    return _user(row) if row else None


async def hold(connection: Connection, user_id: str) -> User | None:
    """The account of an id, which nobody changes until the transaction ends (others may hold it, too)."""
    row = await connection.fetchrow("SELECT * FROM users WHERE id = $1 FOR SHARE", user_id)
    return _user(row) if row else None


async def lock(connection: Connection, user_id: str) -> User | None:
    """The account of an id, to be changed. Its id is not: what refers to it needs to wait for nobody."""
    row = await connection.fetchrow("SELECT * FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
    return _user(row) if row else None


async def lock_enabled_admins(connection: Connection) -> list[str]:
    """The ids of all who can administer, none of which changes until the transaction ends."""
    rows = await connection.fetch("SELECT id FROM users WHERE role = 'admin' AND enabled ORDER BY id FOR NO KEY UPDATE")
    return [str(row["id"]) for row in rows]


async def page(connection: Connection, after_id: str | None, limit: int) -> list[User]:
    """Accounts, the newest first, older than `after_id`."""
    rows = await connection.fetch(
        "SELECT * FROM users WHERE ($1::text IS NULL OR id < $1) ORDER BY id DESC LIMIT $2", after_id, limit
    )
    return [_user(row) for row in rows]


async def update_standing(connection: Connection, user: User) -> None:
    """Write role, tier, enabled, limits, and the end of earlier sessions."""
    await connection.execute(
        "UPDATE users SET role = $2, tier = $3, enabled = $4, sessions_not_before = $5, updated_at = $6,"
        " rate_limit = $7, token_limit = $8, max_concurrency = $9, monthly_budget = $10 WHERE id = $1",
        user.id,
        user.role,
        user.tier,
        user.enabled,
        user.sessions_not_before,
        user.updated_at,
        user.rate_limit,
        user.token_limit,
        user.max_concurrency,
        user.monthly_budget,
    )


async def update_password(connection: Connection, user_id: str, password_hash: str, at: datetime) -> None:
    """Write another password's hash, and the end of earlier sessions."""
    await connection.execute(
        "UPDATE users SET password_hash = $2, sessions_not_before = $3, updated_at = $3 WHERE id = $1",
        user_id,
        password_hash,
        at,
    )


async def end_sessions(connection: Connection, user_id: str, at: datetime) -> None:
    """Write the end of earlier sessions."""
    await connection.execute("UPDATE users SET sessions_not_before = $2, updated_at = $2 WHERE id = $1", user_id, at)


async def with_limits(connection: Connection) -> list[str]:
    """Ids of the accounts that have a limit of their own."""
    rows = await connection.fetch(
        "SELECT id FROM users WHERE rate_limit IS NOT NULL OR token_limit IS NOT NULL OR max_concurrency IS NOT NULL"
        " OR monthly_budget IS NOT NULL ORDER BY id"
    )
    return [str(row["id"]) for row in rows]


async def hold_all(connection: Connection, user_ids: Sequence[str]) -> list[User]:
    """Accounts which nobody changes until the transaction ends, in one order for everybody."""
    rows = await connection.fetch(
        "SELECT * FROM users WHERE id = ANY($1::text[]) ORDER BY id FOR SHARE", list(user_ids)
    )
    return [_user(row) for row in rows]


async def with_ended_sessions(connection: Connection) -> list[User]:
    """Accounts whose earlier sessions were ended and may not all have run out, held until the transaction ends."""
    rows = await connection.fetch("SELECT * FROM users WHERE sessions_not_before IS NOT NULL ORDER BY id FOR SHARE")
    return [_user(row) for row in rows]


async def forget_ended_sessions(connection: Connection, before: datetime) -> list[str]:
    """Forget ends of sessions so old that every token from before them has run out; the ids of the accounts."""
    rows = await connection.fetch(
        "UPDATE users SET sessions_not_before = NULL WHERE sessions_not_before < $1 RETURNING id", before
    )
    return [str(row["id"]) for row in rows]


def _user(row: asyncpg.Record) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        password_hash=row["password_hash"],
        role=cast(Role, row["role"]),
        tier=cast(AccountTier, row["tier"]),
        enabled=row["enabled"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        sessions_not_before=row["sessions_not_before"],
        rate_limit=row["rate_limit"],
        token_limit=row["token_limit"],
        max_concurrency=row["max_concurrency"],
        monthly_budget=row["monthly_budget"],
    )
