"""Signing keys (public halves) and revoked tokens in Postgres."""

from __future__ import annotations

from datetime import datetime

from common.contracts.snapshots import SigningKeySnapshot
from common.postgres.pool import Connection


async def add_signing_key(connection: Connection, key: SigningKeySnapshot, at: datetime) -> None:
    """Make a key the one that is signed with."""
    await connection.execute(
        "INSERT INTO signing_keys (kid, public_key, created_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (kid) DO UPDATE SET retired_at = NULL",
        key.kid,
        key.public_key,
        at,
    )


async def retire_other_signing_keys(connection: Connection, kid: str, at: datetime) -> None:
    """Note that all other keys sign nothing any more."""
    await connection.execute("UPDATE signing_keys SET retired_at = $2 WHERE kid <> $1 AND retired_at IS NULL", kid, at)


async def signing_keys(connection: Connection) -> list[SigningKeySnapshot]:
    """Every key that tokens may still be verified with."""
    rows = await connection.fetch("SELECT kid, public_key FROM signing_keys ORDER BY kid")
    return [SigningKeySnapshot(kid=row["kid"], public_key=row["public_key"]) for row in rows]


async def forget_signing_keys(connection: Connection, retired_before: datetime) -> list[str]:
    """Forget keys retired so long ago that every token of theirs has run out; their ids."""
    rows = await connection.fetch("DELETE FROM signing_keys WHERE retired_at < $1 RETURNING kid", retired_before)
    return [str(row["kid"]) for row in rows]


async def revoke_token(connection: Connection, token_id: str, user_id: str, expires_at: datetime, at: datetime) -> bool:
    """Note that a token no longer counts; False when that was known."""
    added = await connection.fetchval(
        "INSERT INTO revoked_tokens (token_id, user_id, expires_at, revoked_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (token_id) DO NOTHING RETURNING token_id",
        token_id,
        user_id,
        expires_at,
        at,
    )
    return added is not None


async def revoked_tokens(connection: Connection, now: datetime) -> dict[str, datetime]:
    """Every revoked token that has not run out, with its expiry."""
    rows = await connection.fetch("SELECT token_id, expires_at FROM revoked_tokens WHERE expires_at >= $1", now)
    return {str(row["token_id"]): row["expires_at"] for row in rows}


async def forget_revoked_tokens(connection: Connection, expired_before: datetime, limit: int) -> list[str]:
    """Forget some revoked tokens that have run out anyway; their ids."""
    rows = await connection.fetch(
        "DELETE FROM revoked_tokens WHERE token_id IN"
        " (SELECT token_id FROM revoked_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2) RETURNING token_id",
        expired_before,
        limit,
    )
    return [str(row["token_id"]) for row in rows]
