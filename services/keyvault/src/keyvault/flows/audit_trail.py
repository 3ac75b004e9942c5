"""The audit trail: `record` is part of every transaction that changes or reveals something.

Appending takes a lock until the transaction ends, so it comes after all row locks: whoever holds the chain waits for
nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain holds, and the id at which it breaks (None: it does not)."""

    last: Link
    broken_at: int | None


class AuditTrail:
    """Reading the trail, and chaining what other services did."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, before_id: int | None, limit: int) -> list[AuditEntry]:
        """Entries, the newest first."""
        async with self._pool.acquire() as connection:
            return await audit.page(connection, before_id, limit)

    async def chain(self, told: Sequence[tuple[str, Act, datetime]]) -> None:
        """Append what other services told of (event id, act, when); what is told again is in the trail already."""
        async with self._pool.acquire() as connection, connection.transaction():
            await audit.lock_chain(connection)
            known = await audit.chained_events(connection, [event_id for event_id, _, _ in told])
            for event_id, act, at in told:
                if event_id in known:
                    continue
                known.add(event_id)
                entry = chained(act, at, await audit.last_link(connection))
                await audit.insert(connection, entry)
                await audit.note_chained(connection, event_id, entry.id)

    async def verify(self) -> Verified:
        """Go through the whole chain: whether it holds to its end, and where it ends or breaks."""
        last = Link()
        while True:
            async with self._pool.acquire() as connection:
                entries = await audit.after(connection, last.id, _VERIFIED_AT_ONCE)
            if not entries:
                return Verified(last, None)
            broken, last = first_broken(entries, last)
            if broken is not None:
                return Verified(last, broken)
