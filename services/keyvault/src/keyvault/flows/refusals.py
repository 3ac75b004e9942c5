"""Turning a virtual key away at every gateway at once: making Redis say what the key's row says.

Whatever changes whether a key is let in commits that first, with a note that Redis has to be told, and then tells it
before it answers. When Redis is away the caller hears so, and a job tells it later. The row is locked while Redis is
told: of two changes one after the other, the mark of the later one stays.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from common.clock import Clock
from common.errors import Unavailable
from common.postgres.pool import Pool

from keyvault.store import keys
from keyvault.store.refusal_marks import MarksAway, RefusalMarks

log = structlog.get_logger()

_SETTLED_AT_ONCE = 200


class NotYetEverywhere(Unavailable):
    """The change is made, but not every gateway knows; it is being repeated until they do."""


class Refusals:
    """Brings Redis up to date."""

    def __init__(self, pool: Pool, clock: Clock, marks: RefusalMarks) -> None:
        self._pool = pool
        self._clock = clock
        self._marks = marks

    async def settle(self, key_ids: Iterable[str]) -> None:
        """Tell Redis of keys before a caller is answered; NotYetEverywhere when it is away."""
        try:
            for key_id in key_ids:
                await self._settle(key_id)
        except MarksAway as error:
            raise NotYetEverywhere(
                "the change is saved, but gateways may not know it yet: Redis is away; it is being repeated",
                retry_after_seconds=1,
            ) from error

    async def settle_pending(self) -> int:
        """Tell Redis what it could not be told; how many keys. MarksAway while it is away."""
        async with self._pool.acquire() as connection:
            pending = await keys.pending_refusals(connection, _SETTLED_AT_ONCE)
        for key_id in pending:
            await self._settle(key_id)
        if pending:
            log.info("refusals_settled", keys=len(pending))
        return len(pending)

    async def _settle(self, key_id: str) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await keys.lock(connection, [key_id])
            for key in await keys.find(connection, [key_id], self._clock.now()):
                if not key.refusal_pending:
                    return
                await (self._marks.put(key.id) if key.is_refused else self._marks.remove(key.id))
                await keys.clear_refusal_pending(connection, key.id)
