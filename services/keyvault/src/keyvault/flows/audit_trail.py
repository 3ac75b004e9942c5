"""The audit trail: `record` is part of every transaction that changes or reveals something.

Appending takes a lock until the transaction ends, so it comes after all row locks: whoever holds the chain waits for
nobody.
"""

from __future__ import annotations

from datetime import datetime

from common.postgres.pool import Connection, Pool

from keyvault.domain.audit import Act, AuditEntry, Link, chained, first_broken
from keyvault.store import audit

_VERIFIED_AT_ONCE = 1_000


async def record(connection: Connection, act: Act, at: datetime) -> None:
    """Append to the trail, in the caller's transaction."""
    await audit.lock_chain(connection)
    last = await audit.last_link(connection)
    await audit.insert(connection, chained(act, at, last))


class AuditTrail:
    """Reading the trail."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, before_id: int | None, limit: int) -> list[AuditEntry]:
        """Entries, the newest first."""
        async with self._pool.acquire() as connection:
            return await audit.page(connection, before_id, limit)

    async def verify(self) -> int | None:
        """The id at which the chain breaks, None when it holds to its end."""
        last = Link()
        while True:
            async with self._pool.acquire() as connection:
                entries = await audit.after(connection, last.id, _VERIFIED_AT_ONCE)
            if not entries:
                return None
            broken, last = first_broken(entries, last)
            if broken is not None:
                return broken
