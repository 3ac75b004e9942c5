"""What all journeys stand on: a transaction that is this journey's, and what it has to tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from common.clock import Clock
from common.postgres import audit
from common.postgres.pool import Connection, Pool

from catalog_sync.metrics import SyncMetrics
from catalog_sync.sources.source import Source
from catalog_sync.store.kept_lists import KeptLists
from catalog_sync.store.revisions import next_revision
from catalog_sync.store.turns import take_turn

SERVICE = "catalog-sync"
SOURCE = f"/{SERVICE}"


class Transactions:
    """The pool, the clock, the sources and the counters that the journeys share."""

    def __init__(
        self, pool: Pool, clock: Clock, sources: Sequence[Source], metrics: SyncMetrics, kept: KeptLists
    ) -> None:
        self._kept = kept
        self._pool = pool
        self._clock = clock
        self._metrics = metrics
        self._sources = {source.name: source for source in sources}

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        """One state of the database for all reads of a journey."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        """A turn at the catalog: nobody else writes it meanwhile, so snapshots are told in the order they were made."""
        async with self._pool.acquire() as connection, connection.transaction():
            await take_turn(connection)
            await next_revision(connection)
            yield connection


audited = partial(audit.audited, SERVICE)
"""The audit row of an admin's act: actor, action, subject, when, and what else is known of it."""
