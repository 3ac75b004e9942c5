"""When keys and credentials were last used, as usage events tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.postgres.pool import Pool

from keyvault.store import credentials, keys


class Uses:
    """The journey of a batch of usage events. Doing one twice changes nothing: only the latest instant is kept."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, key_uses: Mapping[str, datetime], credential_uses: Mapping[str, datetime]) -> None:
        """Keep the latest instant at which each key and each credential was used."""
        async with self._pool.acquire() as connection, connection.transaction():
            await keys.note_use(connection, key_uses.items())
            await credentials.note_use(connection, credential_uses.items())
