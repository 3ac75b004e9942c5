"""Of what people were reminded, in Postgres."""

from __future__ import annotations

from datetime import datetime

from common.contracts.changes import CredentialReminder
from common.postgres.pool import Connection

from keyvault.domain.credentials import Credential
from keyvault.store.credentials import credential_of


async def in_use(connection: Connection, after_id: str, limit: int) -> list[Credential]:
    """Some credentials that are used and not the simulator's, by id."""
    rows = await connection.fetch(
        "SELECT * FROM credentials WHERE id > $1 AND status = 'active' AND enabled AND source <> 'simulator'"
        " ORDER BY id LIMIT $2",
        after_id,
        limit,
    )
    return [credential_of(row) for row in rows]


async def note(
    connection: Connection, credential_id: str, version: int, reason: CredentialReminder, now: datetime
) -> bool:
    """Note that somebody is told; False when somebody was."""
    noted = await connection.fetchval(
        "INSERT INTO credential_reminders (credential_id, version, reason, told_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING RETURNING credential_id",
        credential_id,
        version,
        reason,
        now,
    )
    return noted is not None
