"""Statements: months are closed one after the other, each in one transaction that has the books alone."""

from __future__ import annotations

import structlog
from common.clock import Clock
from common.postgres.pool import Pool

from billing.domain.charges import Month
from billing.domain.statements import Statement, is_due
from billing.store import locks, statements

log = structlog.get_logger()


class Statements:
    """The journeys of statements."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def close_due(self) -> Month | None:
        """Close the first month that may be closed and is not; None when there is none."""
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            last = await statements.last_closed(connection)
            month = last.following() if last is not None else await statements.first_booked(connection)
            if month is None or not is_due(month, now):
                return None
            await locks.take_counters(connection)
            if await statements.last_closed(connection) != last:
                return None  # another replica was faster
            accounts = await statements.close(connection, month, now)
        log.info("month_closed", month=month.name, accounts=accounts)
        return month

    async def page(
        self, month: Month | None, user_id: str | None, after: tuple[int, int, str] | None, limit: int
    ) -> list[Statement]:
        """Statements of closed months, newest first; of one user's keys, or all."""
        async with self._pool.acquire() as connection:
            return await statements.page(connection, month, user_id, after, limit)
