"""Stored secrets that are to be encrypted anew: which they are, and writing each back under its present version."""

from __future__ import annotations

from common.postgres.pool import Connection

from keyvault.domain.credentials import Credential
from keyvault.store.credentials import credential_of


async def under_other_keys(connection: Connection, kid: str, limit: int) -> list[Credential]:
    """Some credentials whose secret is not under this master key, locked; those that others hold are left out."""
    rows = await connection.fetch(
        "SELECT * FROM credentials WHERE status = 'active' AND kid <> $1 ORDER BY id LIMIT $2"
        " FOR NO KEY UPDATE SKIP LOCKED",
        kid,
        limit,
    )
    return [credential_of(row) for row in rows]


async def count_under_other_keys(connection: Connection, kid: str) -> int:
    """How many secrets are not under this master key."""
    return int(await connection.fetchval("SELECT count(*) FROM credentials WHERE status = 'active' AND kid <> $1", kid))


async def plain(connection: Connection) -> list[Credential]:
    """Credentials whose secret somebody wrote into the table as it is, locked."""
    rows = await connection.fetch(
        "SELECT * FROM credentials WHERE status = 'active' AND ciphertext !~ '^[a-z][0-9][.]' ORDER BY id FOR NO KEY UPDATE"
    )
    return [credential_of(row) for row in rows]


async def write(connection: Connection, credential_id: str, ciphertext: str, kid: str) -> None:
    """Write the same secret back in another form; its version stays."""
    await connection.execute(
        "UPDATE credentials SET ciphertext = $2, kid = $3 WHERE id = $1", credential_id, ciphertext, kid
    )
