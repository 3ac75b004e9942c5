"""When keys and credentials were last used, and which the providers refused, as usage events tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.postgres.pool import Pool

from keyvault.domain.own_credentials import Verdict
from keyvault.flows.own_credentials import OwnCredentials
from keyvault.store import credentials, keys


class Uses:
    """The journey of a batch of usage events. Doing one twice changes nothing: only the latest instant is kept."""

    def __init__(self, pool: Pool, own: OwnCredentials) -> None:
        self._pool = pool
        self._own = own

    async def note(
        self,
        key_uses: Mapping[str, datetime],
        credential_uses: Mapping[str, datetime],
        verdicts: Mapping[str, Verdict],
    ) -> None:
        """Keep the latest instant at which each key and each credential was used, and what calls tell of users' own."""
        async with self._pool.acquire() as connection, connection.transaction():
            await keys.note_use(connection, key_uses.items())
            await credentials.note_use(connection, credential_uses.items())
            await self._own.judge(connection, verdicts)
