"""Users' own credentials in Postgres: ciphertexts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from common.postgres.pool import Connection

from keyvault.domain.credentials import Credential
from keyvault.domain.own_credentials import Verdict
from keyvault.store.credentials import credential_of


async def of_owner(connection: Connection, user_id: str) -> list[Credential]:
    """A user's credentials that were not removed, the newest first."""
    rows = await connection.fetch(
        "SELECT * FROM credentials WHERE owner_user_id = $1 AND status = 'active' ORDER BY id DESC", user_id
    )
    return [credential_of(row) for row in rows]


async def update(connection: Connection, credential: Credential) -> None:
    """Write what its owner set of a credential, but for the secret."""
    await connection.execute(
        "UPDATE credentials SET name = $2, enabled = $3, is_default = $4, fallback_to_system = $5, updated_at = $6,"
        " expires_at = $7 WHERE id = $1",
        credential.id,
        credential.name,
        credential.enabled,
        credential.is_default,
        credential.fallback_to_system,
        credential.updated_at,
        credential.expires_at,
    )


async def take_default_away(connection: Connection, user_id: str, except_id: str) -> list[Credential]:
    """No credential of a user but one stays the default; those that were it, as they are now."""
    rows = await connection.fetch(
        "UPDATE credentials SET is_default = false WHERE owner_user_id = $1 AND is_default AND id <> $2 RETURNING *",
        user_id,
        except_id,
    )
    return [credential_of(row) for row in rows]


async def judge(connection: Connection, verdicts: Mapping[str, Verdict]) -> list[Credential]:
    """Keep what is told of users' credentials, unless something later is known, or of an earlier secret; those that
    turned from not being invalid to invalid, as they are now."""
    judged = sorted(verdicts.items())
    rows = await connection.fetch(
        "WITH told AS (SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::boolean[]) AS t (id, at, is_good)),"
        " before AS (SELECT c.id, c.verdict, t.at, t.is_good FROM credentials c JOIN told t ON t.id = c.id"
        " WHERE c.owner_user_id IS NOT NULL AND c.status = 'active' AND t.at >= c.secret_at"
        " AND (c.judged_at IS NULL OR c.judged_at < t.at) ORDER BY c.id FOR NO KEY UPDATE OF c)"
        " UPDATE credentials c SET judged_at = b.at, verdict = CASE WHEN b.is_good THEN 'valid' ELSE 'invalid' END,"
        " last_validated_at = CASE WHEN b.is_good AND (c.last_validated_at IS NULL OR b.verdict <> 'valid')"
        " THEN b.at ELSE c.last_validated_at END"
        " FROM before b WHERE c.id = b.id RETURNING c.*, (b.verdict <> 'invalid' AND NOT b.is_good) AS has_turned",
        [credential_id for credential_id, _ in judged],
        [verdict.at for _, verdict in judged],
        [verdict.is_good for _, verdict in judged],
    )
    return [credential_of(row) for row in rows if row["has_turned"]]


async def note_validation(
    connection: Connection, credential_id: str, version: int, at: datetime, is_good: bool
) -> None:
    """Keep how a validation of one version ended."""
    await connection.execute(
        "UPDATE credentials SET judged_at = $3, verdict = CASE WHEN $4 THEN 'valid' ELSE 'invalid' END,"
        " last_validated_at = CASE WHEN $4 THEN $3 ELSE last_validated_at END WHERE id = $1 AND version = $2",
        credential_id,
        version,
        at,
        is_good,
    )


async def lock_of_owners(connection: Connection, user_ids: Sequence[str]) -> list[Credential]:
    """The credentials of some users that were not removed, locked in one order for everybody."""
    rows = await connection.fetch(
        "SELECT * FROM credentials WHERE owner_user_id = ANY($1::text[]) AND status = 'active' ORDER BY id"
        " FOR NO KEY UPDATE",
        list(user_ids),
    )
    return [credential_of(row) for row in rows]
