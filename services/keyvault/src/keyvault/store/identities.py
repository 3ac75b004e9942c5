"""Whom an issuer knows, and which logins have ended, in Postgres."""

from __future__ import annotations

from datetime import datetime

from common.postgres.pool import Connection


async def user_of(connection: Connection, issuer: str, subject: str) -> str | None:
    """The account that an identity opens."""
    found: str | None = await connection.fetchval(
        "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2", issuer, subject
    )
    return found


async def subject_of(connection: Connection, issuer: str, user_id: str) -> str | None:
    """The issuer's name for the owner of an account."""
    found: str | None = await connection.fetchval(
        "SELECT subject FROM identities WHERE issuer = $1 AND user_id = $2", issuer, user_id
    )
    return found


async def insert(connection: Connection, issuer: str, subject: str, user_id: str, at: datetime) -> bool:
    """Let an identity open an account; False when it opens one already, or the account has one of this issuer."""
    added = await connection.fetchval(
        "INSERT INTO identities (issuer, subject, user_id, linked_at, last_login_at) VALUES ($1, $2, $3, $4, $4)"
        " ON CONFLICT DO NOTHING RETURNING user_id",
        issuer,
        subject,
        user_id,
        at,
    )
    return added is not None


async def note_login(connection: Connection, issuer: str, subject: str, at: datetime) -> None:
    """Note when an identity was last signed in with."""
    await connection.execute(
        "UPDATE identities SET last_login_at = $3 WHERE issuer = $1 AND subject = $2", issuer, subject, at
    )


async def remove(connection: Connection, issuer: str, user_id: str) -> bool:
    """Let an account be opened by no identity of an issuer; False when none did."""
    removed = await connection.fetchval(
        "DELETE FROM identities WHERE issuer = $1 AND user_id = $2 RETURNING subject", issuer, user_id
    )
    return removed is not None


async def end_login(connection: Connection, state_hash: str, expires_at: datetime) -> bool:
    """Note that a login has ended; False when it had."""
    added = await connection.fetchval(
        "INSERT INTO ended_logins (state_hash, expires_at) VALUES ($1, $2)"
        " ON CONFLICT (state_hash) DO NOTHING RETURNING state_hash",
        state_hash,
        expires_at,
    )
    return added is not None


async def forget_ended_logins(connection: Connection, expired_before: datetime) -> None:
    """Forget logins whose cookie has run out."""
    await connection.execute("DELETE FROM ended_logins WHERE expires_at < $1", expired_before)
