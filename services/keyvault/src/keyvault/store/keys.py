"""Virtual keys and their secrets' hashes in Postgres."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, cast

import asyncpg
from common.contracts.snapshots import AccountTier
from common.postgres.pool import Connection

from keyvault.domain.virtual_keys import KeyTerms, LiveSecret, VirtualKey


async def insert(connection: Connection, key: VirtualKey) -> None:
    """Add a key, without its secret."""
    terms = key.terms
    await connection.execute(
        "INSERT INTO virtual_keys (id, name, enabled, disabled_by, user_id, team_id, tier, rate_limit, token_limit,"
        " max_concurrency, monthly_budget, allowed_models, expires_at, metadata, log_content, cache_ttl_s,"
        " refusal_pending, created_at, updated_at) VALUES"
        " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        key.id,
        terms.name,
        terms.enabled,
        key.disabled_by,
        terms.user_id,
        terms.team_id,
        terms.tier,
        terms.rate_limit,
        terms.token_limit,
        terms.max_concurrency,
        terms.monthly_budget,
        terms.allowed_models,
        terms.expires_at,
        dict(terms.metadata),
        terms.log_content,
        terms.cache_ttl_s,
        key.refusal_pending,
        key.created_at,
        key.updated_at,
    )


async def insert_secret(connection: Connection, key_id: str, secret: LiveSecret) -> bool:
    """Add a secret to a key; False when some key has or had it."""
    added = await connection.fetchval(
        "INSERT INTO key_secrets (sha256, key_id, last4, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (sha256) DO NOTHING RETURNING sha256",
        secret.sha256,
        key_id,
        secret.last4,
        secret.created_at,
        secret.expires_at,
    )
    return added is not None


async def end_secret(connection: Connection, sha256: str, expires_at: datetime) -> None:
    """Say when a secret stops counting."""
    await connection.execute("UPDATE key_secrets SET expires_at = $2 WHERE sha256 = $1", sha256, expires_at)


async def end_current_secret(connection: Connection, key_id: str, expires_at: datetime) -> None:
    """Say when the one secret of a key stops counting that had no end."""
    await connection.execute(
        "UPDATE key_secrets SET expires_at = $2 WHERE key_id = $1 AND expires_at IS NULL", key_id, expires_at
    )


async def lock(connection: Connection, key_ids: Sequence[str]) -> list[str]:
    """Lock keys, in one order for everybody; the ids of those that exist. Read them afterwards, with `find`."""
    rows = await connection.fetch(
        "SELECT id FROM virtual_keys WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE", list(key_ids)
    )
    return [str(row["id"]) for row in rows]


async def find(connection: Connection, key_ids: Sequence[str], now: datetime) -> list[VirtualKey]:
    """Keys with the standing of their owners and teams and the secrets that still count, by id."""
    rows = await connection.fetch(
        "SELECT k.*, k.metadata::text AS metadata_text, u.tier AS owner_tier, coalesce(u.enabled, true) AS owner_enabled,"
        " coalesce(t.enabled, true) AS team_enabled FROM virtual_keys k LEFT JOIN users u ON u.id = k.user_id"
        " LEFT JOIN teams t ON t.id = k.team_id WHERE k.id = ANY($1::text[]) ORDER BY k.id",
        list(key_ids),
    )
    secrets = await _secrets(connection, key_ids, now)
    return [_key(row, secrets.get(row["id"], ())) for row in rows]


async def _secrets(connection: Connection, key_ids: Sequence[str], now: datetime) -> dict[str, tuple[LiveSecret, ...]]:
    rows = await connection.fetch(
        "SELECT key_id, sha256, last4, created_at, expires_at FROM key_secrets"
        " WHERE key_id = ANY($1::text[]) AND (expires_at IS NULL OR expires_at > $2) ORDER BY created_at, sha256",
        list(key_ids),
        now,
    )
    found: dict[str, tuple[LiveSecret, ...]] = {}
    for row in rows:
        secret = LiveSecret(row["sha256"], row["last4"], row["created_at"], row["expires_at"])
        found[row["key_id"]] = (*found.get(row["key_id"], ()), secret)
    return found


async def page(connection: Connection, user_id: str | None, before_id: str | None, limit: int) -> list[str]:
    """Ids of keys that are not revoked, the newest first: of one user, or all."""
    rows = await connection.fetch(
        "SELECT id FROM virtual_keys WHERE revoked_at IS NULL AND ($1::text IS NULL OR user_id = $1)"
        " AND ($2::text IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        user_id,
        before_id,
        limit,
    )
    return [str(row["id"]) for row in rows]


async def ids_of_user(connection: Connection, user_id: str) -> list[str]:
    """Ids of a user's keys that are not revoked."""
    rows = await connection.fetch(
        "SELECT id FROM virtual_keys WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id", user_id
    )
    return [str(row["id"]) for row in rows]


async def ids_of_team(connection: Connection, team_id: str) -> list[str]:
    """Ids of a team's keys that are not revoked."""
    rows = await connection.fetch(
        "SELECT id FROM virtual_keys WHERE team_id = $1 AND revoked_at IS NULL ORDER BY id", team_id
    )
    return [str(row["id"]) for row in rows]


async def live_ids(connection: Connection) -> list[str]:
    """Ids of all keys that are not revoked."""
    rows = await connection.fetch("SELECT id FROM virtual_keys WHERE revoked_at IS NULL ORDER BY id")
    return [str(row["id"]) for row in rows]


async def update_terms(connection: Connection, key: VirtualKey) -> None:
    """Write what people set of a key, and whether Redis has to be told."""
    terms = key.terms
    await connection.execute(
        "UPDATE virtual_keys SET name = $2, enabled = $3, disabled_by = $4, user_id = $5, team_id = $6, tier = $7,"
        " rate_limit = $8, token_limit = $9, max_concurrency = $10, monthly_budget = $11, allowed_models = $12,"
        " expires_at = $13, metadata = $14, log_content = $15, cache_ttl_s = $16, refusal_pending = $17,"
        " updated_at = $18 WHERE id = $1",
        key.id,
        terms.name,
        terms.enabled,
        key.disabled_by,
        terms.user_id,
        terms.team_id,
        terms.tier,
        terms.rate_limit,
        terms.token_limit,
        terms.max_concurrency,
        terms.monthly_budget,
        terms.allowed_models,
        terms.expires_at,
        dict(terms.metadata),
        terms.log_content,
        terms.cache_ttl_s,
        key.refusal_pending,
        key.updated_at,
    )


async def revoke(connection: Connection, key_id: str, at: datetime) -> None:
    """End a key for good; Redis has to be told."""
    await connection.execute(
        "UPDATE virtual_keys SET revoked_at = $2, updated_at = $2, refusal_pending = true WHERE id = $1", key_id, at
    )


async def mark_refusals_pending(connection: Connection, key_ids: Sequence[str]) -> None:
    """Note that Redis has to be told of these keys."""
    await connection.execute("UPDATE virtual_keys SET refusal_pending = true WHERE id = ANY($1::text[])", list(key_ids))


async def clear_refusal_pending(connection: Connection, key_id: str) -> None:
    """Note that Redis says what the row says."""
    await connection.execute("UPDATE virtual_keys SET refusal_pending = false WHERE id = $1", key_id)


async def pending_refusals(connection: Connection, limit: int) -> list[str]:
    """Ids of keys of which Redis has to be told."""
    rows = await connection.fetch("SELECT id FROM virtual_keys WHERE refusal_pending ORDER BY id LIMIT $1", limit)
    return [str(row["id"]) for row in rows]


async def note_use(connection: Connection, used_at: Iterable[tuple[str, datetime]]) -> None:
    """Keep the latest instant at which each key was used."""
    used = sorted(used_at)
    await connection.execute(
        "UPDATE virtual_keys k SET last_used_at = u.at FROM unnest($1::text[], $2::timestamptz[]) AS u (id, at)"
        " WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)",
        [key_id for key_id, _ in used],
        [at for _, at in used],
    )


def _key(row: asyncpg.Record, secrets: tuple[LiveSecret, ...]) -> VirtualKey:
    return VirtualKey(
        id=row["id"],
        terms=_terms(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        secrets=secrets,
        disabled_by=row["disabled_by"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
        refusal_pending=row["refusal_pending"],
        owner_tier=cast("AccountTier | None", row["owner_tier"]),
        owner_enabled=row["owner_enabled"],
        team_enabled=row["team_enabled"],
    )


def _terms(row: asyncpg.Record) -> KeyTerms:
    models = row["allowed_models"]
    return KeyTerms(
        name=row["name"],
        enabled=row["enabled"],
        rate_limit=row["rate_limit"],
        token_limit=row["token_limit"],
        max_concurrency=row["max_concurrency"],
        monthly_budget=row["monthly_budget"],
        allowed_models=None if models is None else tuple(models),
        tier=cast("AccountTier | None", row["tier"]),
        user_id=row["user_id"],
        team_id=row["team_id"],
        expires_at=row["expires_at"],
        metadata=cast(dict[str, Any], json.loads(row["metadata_text"])),  # with numbers as they came
        log_content=row["log_content"],
        cache_ttl_s=row["cache_ttl_s"],
    )
