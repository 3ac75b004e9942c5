"""Credentials in Postgres: ciphertexts only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

import asyncpg
from common.postgres.pool import Connection

from keyvault.domain.credentials import Credential, Source, Status, VerdictWord


async def lock_system(connection: Connection) -> None:
    """Make this transaction the only one that changes system credentials."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.system_credentials'))")


async def insert(connection: Connection, credential: Credential, kid: str) -> None:
    """Add a credential."""
    await connection.execute(
        "INSERT INTO credentials (id, provider_type, owner_user_id, name, ciphertext, kid, version, last4, base_url,"
        " on_simulator, enabled, status, source, created_at, updated_at, secret_at, is_default, fallback_to_system,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        credential.id,
        credential.provider_type,
        credential.owner_user_id,
        credential.name,
        credential.ciphertext,
        kid,
        credential.version,
        credential.last4,
        credential.base_url,
        credential.on_simulator,
        credential.enabled,
        credential.status,
        credential.source,
        credential.created_at,
        credential.updated_at,
        credential.secret_at,
        credential.is_default,
        credential.fallback_to_system,
        credential.expires_at,
    )


async def replace(connection: Connection, credential: Credential, kid: str) -> None:
    """Write a credential's next version; what was known of the last one's tests no longer holds."""
    await connection.execute(
        "UPDATE credentials SET name = $2, ciphertext = $3, kid = $4, version = $5, last4 = $6, base_url = $7,"
        " on_simulator = $8, source = $9, updated_at = $10, secret_at = $11, expires_at = $12, last_tested_at = NULL,"
        " last_test_ok = NULL, verdict = 'unvalidated', judged_at = NULL, last_validated_at = NULL WHERE id = $1",
        credential.id,
        credential.name,
        credential.ciphertext,
        kid,
        credential.version,
        credential.last4,
        credential.base_url,
        credential.on_simulator,
        credential.source,
        credential.updated_at,
        credential.secret_at,
        credential.expires_at,
    )


async def remove(connection: Connection, credential_id: str, at: datetime) -> None:
    """End a credential and destroy its secret."""
    await connection.execute(
        "UPDATE credentials SET status = 'removed', enabled = false, is_default = false, ciphertext = NULL, kid = NULL,"
        " updated_at = $2 WHERE id = $1",
        credential_id,
        at,
    )


async def active_system(connection: Connection) -> list[Credential]:
    """The system credentials, one a provider at most."""
    rows = await connection.fetch(
        "SELECT * FROM credentials WHERE owner_user_id IS NULL AND status = 'active' ORDER BY provider_type"
    )
    return [credential_of(row) for row in rows]


async def system_of(connection: Connection, provider_type: str) -> Credential | None:
    """The system credential of a provider."""
    row = await connection.fetchrow(
        "SELECT * FROM credentials WHERE owner_user_id IS NULL AND status = 'active' AND provider_type = $1",
        provider_type,
    )
    return credential_of(row) if row else None


async def by_id(connection: Connection, credential_id: str) -> Credential | None:
    """A credential, removed ones too."""
    row = await connection.fetchrow("SELECT * FROM credentials WHERE id = $1", credential_id)
    return credential_of(row) if row else None


async def active_ids(connection: Connection) -> list[str]:
    """Ids of all credentials that are not removed."""
    rows = await connection.fetch("SELECT id FROM credentials WHERE status = 'active' ORDER BY id")
    return [str(row["id"]) for row in rows]


async def lock(connection: Connection, credential_ids: Sequence[str]) -> list[Credential]:
    """Lock credentials, in one order for everybody."""
    rows = await connection.fetch(
        "SELECT * FROM credentials WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE", list(credential_ids)
    )
    return [credential_of(row) for row in rows]


async def kids(connection: Connection) -> list[str]:
    """The names of the master keys that stored secrets need; one that somebody wrote there as it is needs none."""
    rows = await connection.fetch(
        "SELECT DISTINCT kid FROM credentials WHERE kid IS NOT NULL AND ciphertext ~ '^[a-z][0-9][.]'"
    )
    return [str(row["kid"]) for row in rows]


async def note_test(connection: Connection, credential_id: str, version: int, at: datetime, is_ok: bool) -> None:
    """Keep how a test of one version ended."""
    await connection.execute(
        "UPDATE credentials SET last_tested_at = $3, last_test_ok = $4 WHERE id = $1 AND version = $2",
        credential_id,
        version,
        at,
        is_ok,
    )


async def note_use(connection: Connection, used_at: Iterable[tuple[str, datetime]]) -> None:
    """Keep the latest instant at which each credential was used."""
    used = sorted(used_at)
    await connection.execute(
        "UPDATE credentials c SET last_used_at = u.at FROM unnest($1::text[], $2::timestamptz[]) AS u (id, at)"
        " WHERE c.id = u.id AND (c.last_used_at IS NULL OR c.last_used_at < u.at)",
        [credential_id for credential_id, _ in used],
        [at for _, at in used],
    )


def credential_of(row: asyncpg.Record) -> Credential:
    """What a row says."""
    return Credential(
        id=row["id"],
        provider_type=row["provider_type"],
        owner_user_id=row["owner_user_id"],
        name=row["name"],
        ciphertext=row["ciphertext"],
        version=row["version"],
        last4=row["last4"],
        base_url=row["base_url"],
        on_simulator=row["on_simulator"],
        enabled=row["enabled"],
        status=cast(Status, row["status"]),
        source=cast(Source, row["source"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        secret_at=row["secret_at"],
        expires_at=row["expires_at"],
        last_tested_at=row["last_tested_at"],
        last_test_ok=row["last_test_ok"],
        last_used_at=row["last_used_at"],
        is_default=row["is_default"],
        fallback_to_system=row["fallback_to_system"],
        verdict=cast(VerdictWord, row["verdict"]),
        last_validated_at=row["last_validated_at"],
    )
