"""Asking the gateways for settlements again: kept with the booking that found them, then put into the list in Redis.

An entry leaves the database only once Redis has it, and leaves Redis only once a gateway has settled it; when Redis loses
it, admission closes and the counters are restored from the ledger, which has the final already.
"""

from __future__ import annotations

from common.postgres.pool import Pool

from billing.store import resettlements
from billing.store.counters import Counters

_AT_ONCE = 200


class Resettling:
    """Brings what was kept to Redis; raises what Redis or the database raises."""

    def __init__(self, pool: Pool, counters: Counters) -> None:
        self._pool = pool
        self._counters = counters

    async def ask(self) -> int:
        """Ask for all that is kept, as far as the list has room; how many."""
        asked = 0
        while some := await self._ask_some():
            asked += some
        return asked

    async def _ask_some(self) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            wanted = await resettlements.oldest(connection, _AT_ONCE)
            if not wanted or not await self._counters.ask_to_settle([one.model_dump_json() for one in wanted]):
                return 0
            await resettlements.remove(connection, wanted)
        return len(wanted)
