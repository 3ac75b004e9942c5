"""Analytics' journeys: log what was called, count it, show it.

Each public method is one journey and at most one transaction. Time is told here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta

from common.clock import Clock
from common.errors import NotFound, Unprocessable
from common.postgres.pool import Connection, Pool

from analytics.domain.buckets import BucketResult, Span, Wanted, filled
from analytics.domain.corrections import Correction, corrected
from analytics.domain.log import LoggedCall, Position, RequestFilter, last_words
from analytics.domain.rollups import DayCost, ModelCost, counted, roll
from analytics.store import corrections, ids, partitions, requests, rollups

MOST_RESULTS = 50_000
"""Groups that one page of buckets may have in all."""
_MONTHS_AHEAD = 3


class UnknownRequest(NotFound):
    """There is no such request, or it is somebody else's."""


class TooManyResults(Unprocessable):
    """A page of buckets would have more groups than may be."""


class Analytics:
    """The service's journeys over its database."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def record_usage(self, calls: Sequence[LoggedCall]) -> None:
        """Log and count a batch of calls: all of it or nothing; what was logged before changes nothing, a final takes
        its estimate's place. Events of the same request may be logged by others at the same time."""
        if not calls:
            return
        told = last_words(calls)
        async with self._pool.acquire() as connection, connection.transaction():
            await corrections.share(connection)
            claimed = await ids.claim(connection, told.values())
            late = [call for call in told.values() if call.is_final and call.request_id not in claimed]
            superseded = await self._supersede(connection, late) if late else {}
            fresh = [call for call in told.values() if call.request_id in claimed or call.request_id in superseded]
            if fresh:
                await requests.insert(connection, fresh, self._clock.now())
                removed = (counted(call) for call in superseded.values())
                added = [counted(call) for call in fresh]
                places = {call.request_id: key for call, (key, _) in zip(fresh, added, strict=True) if call.is_final}
                waiting = corrected(await corrections.of(connection, places.keys()), places)
                await rollups.add(connection, roll([*added, *waiting], removed))

    async def record_corrections(self, told: Sequence[Correction]) -> None:
        """Let the rollups follow what re-ratings changed of calls: all of it or nothing; what was told before changes
        nothing, and what comes before its call waits for it."""
        async with self._pool.acquire() as connection, connection.transaction():
            await corrections.take(connection)
            if fresh := await corrections.insert(connection, told, self._clock.now()):
                places = await requests.places(connection, {one.request_id for one in fresh})
                if differences := roll(corrected(fresh, places)):
                    await rollups.add(connection, differences)

    async def requests(self, wanted: RequestFilter, after: Position | None, limit: int) -> list[LoggedCall]:
        """Calls of the log, those that started last first."""
        async with self._pool.acquire() as connection:
            return await requests.newest(connection, wanted, after, limit)

    async def request(self, request_id: str, visible_to: str | None) -> LoggedCall:
        """One call; UnknownRequest when there is none, or not for this user (None: an admin)."""
        async with self._pool.acquire() as connection:
            found = await requests.one(connection, request_id, visible_to)
        if found is None:
            raise UnknownRequest("request not found")
        return found

    async def costs(self, user_id: str, days: int) -> tuple[list[ModelCost], list[DayCost]]:
        """What a user's calls of the last so many UTC days (today is one) cost, by model and by day, as of one
        moment."""
        until = _midnight(self._clock.now()) + timedelta(days=1)
        since = until - timedelta(days=days)
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            models = await rollups.by_model(connection, user_id, since, until)
            return models, await rollups.by_day(connection, user_id, since, until)

    async def buckets(
        self, span: Span, wanted: Wanted, grouped: Collection[str]
    ) -> Sequence[tuple[datetime, list[BucketResult]]]:
        """Everybody's calls of a span, summed up bucket by bucket; every bucket is there, be it empty. TooManyResults."""
        async with self._pool.acquire() as connection:
            found = await rollups.in_buckets(connection, span, wanted, grouped, MOST_RESULTS + 1)
        if len(found) > MOST_RESULTS:
            raise TooManyResults(f"more than {MOST_RESULTS} results: ask for fewer buckets, groups or names")
        return filled(span, found)

    def now(self) -> datetime:
        """The time."""
        return self._clock.now()

    async def prepare_months(self) -> date:
        """Make the log's partitions of last month, this one and the next three; the last month that has one."""
        month = _first_of_month(self._clock.now().date(), -1)
        async with self._pool.acquire() as connection:
            for ahead in range(-1, _MONTHS_AHEAD + 1):
                month = _first_of_month(self._clock.now().date(), ahead)
                await partitions.make(connection, month)
        return month

    async def _supersede(self, connection: Connection, finals: Sequence[LoggedCall]) -> dict[str, LoggedCall]:
        """Take the estimates of these finals out of the log; the estimates, by request."""
        estimated = await ids.lock_estimated(connection, [call.request_id for call in finals])
        if not estimated:
            return {}
        removed = await requests.remove(connection, estimated)
        await ids.finish(connection, [call for call in finals if call.request_id in estimated])
        return {call.request_id: call for call in removed}


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _first_of_month(day: date, ahead: int) -> date:
    months = day.year * 12 + day.month - 1 + ahead
    return date(months // 12, months % 12 + 1, 1)
