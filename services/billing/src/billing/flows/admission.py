"""Admission after a loss of Redis: closed until the counters hold what the ledger does.

What was lost is seen by the epoch (gone, or not the one that stands in the database) and by the server's run: a restarted
server, or another that took over, may lack the last things that the one before held. Gateways write the holds of their
running calls again within a second; five are waited for, so that every one of them is counted when the doors open. Of a
call that a reaper told of and that may still come back, what was counted is marked again, after the counters are there.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from common.clock import Clock
from common.contracts.topology import REAPED_SECONDS, quota_key
from common.ids import uuid7
from common.postgres.pool import Connection, Pool
from nats.js import JetStreamContext

from billing.domain.audit import Backlog
from billing.domain.charges import Month
from billing.domain.reaped import mark_of
from billing.flows.others import AT_ONCE, Others
from billing.store import estimates, locks, quotas
from billing.store.backlog import backlog
from billing.store.counters import Counters, RedisState
from billing.store.locks import Opened

log = structlog.get_logger()

CLOSED_SECONDS = 5.0
"""How long admission stays closed at least after a loss."""


class Admission:
    """Keeps the epoch; one instance a process."""

    def __init__(
        self, pool: Pool, jetstream: JetStreamContext, counters: Counters, others: Others, clock: Clock
    ) -> None:
        self._pool = pool
        self._jetstream = jetstream
        self._counters = counters
        self._others = others
        self._clock = clock
        self._seen_closed: tuple[str, float] | None = None

    async def backlog(self) -> Backlog:
        """How far billing is behind the stream."""
        return await backlog(self._jetstream)

    async def keep_open(self) -> bool:
        """Keep admission open; where it is closed, because Redis is fresh or has lost what it held, open it once every
        event was booked and the counters hold what the ledger does. False when that is not so yet."""
        state = await self._counters.state()
        async with self._pool.acquire() as connection:
            opened = await locks.opened(connection)
            if opened is None and state.epoch is not None:
                await locks.open_under(connection, state.epoch, state.run_id, self._clock.now())
                opened = Opened(state.epoch, state.run_id)
        if opened is not None and opened == (state.epoch, state.run_id):
            self._seen_closed = None
            return True
        if state.epoch is not None:
            log.warning("redis_is_another", epoch=state.epoch)
            await self._counters.close(state.epoch)
        if opened is not None and not self._waited_out(state):
            return False
        if await self._counters.waiting_events() or not (await self.backlog()).is_empty:
            return False
        return await self._open(state.run_id, opened)

    def _waited_out(self, state: RedisState) -> bool:
        """Whether this server has been seen closed for long enough."""
        now = self._clock.monotonic()
        if self._seen_closed is None or self._seen_closed[0] != state.run_id:
            self._seen_closed = (state.run_id, now)
        return now - self._seen_closed[1] >= CLOSED_SECONDS

    async def _open(self, run_id: str, seen: Opened | None) -> bool:
        """Restore the counters and open, if no other replica is at it or has done it since it was `seen` closed. The lock
        outlives the transaction, up to the connection's return to the pool: the epoch in Redis must be the one that was
        committed last."""
        async with self._pool.acquire() as connection:
            if not await locks.try_admission(connection) or await locks.opened(connection) != seen:
                return False
            epoch = f"{uuid7()}@{run_id}"  # gateways take it on that server only
            async with connection.transaction():
                await locks.take_counters(connection)
                await self._others.restore(connection)
                await self._restore_quotas(connection)
                await self._restore_marks(connection)
                await locks.open_under(connection, epoch, run_id, self._clock.now())
            await self._counters.open(epoch)
        self._seen_closed = None
        return True

    async def _restore_marks(self, connection: Connection) -> None:
        since, position = self._clock.now() - timedelta(seconds=REAPED_SECONDS), ""
        while some := await estimates.page(connection, since, position, AT_ONCE):
            await self._counters.mark_reaped([mark for one in some if (mark := mark_of(one)) is not None])
            position = some[-1].request_id

    async def _restore_quotas(self, connection: Connection) -> None:
        now = self._clock.now()
        month, position = Month(now.year, now.month), ""
        while some := await quotas.page(connection, month, position, AT_ONCE):
            await self._counters.raise_to({quota_key(scope, month.name): calls for scope, calls in some})
            position = some[-1][0]
