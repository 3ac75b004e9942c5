"""What time does here: the first sync, keeping the bucket equal to the catalog, and reading the other sources.

At start: default providers, then what the bucket lacks (NATS may have lost its volume), then the first sync. An
outage of Postgres or NATS is waited out; the service is ready once the first sync is done. Afterwards the bucket
is compared again after every reconnect to NATS, and every so often in any case.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from common.bus.buckets import read_bucket
from common.bus.connect import Bus
from common.clock import Clock
from common.contracts.topology import CATALOG_BUCKET
from common.outages import AWAY
from nats.errors import Error as NatsError

from catalog_sync.flows import CatalogSync
from catalog_sync.flows.syncs import UnknownSource

log = structlog.get_logger()

FIRST_SOURCE = "packaged"
_COMPARE_SECONDS = 300.0
_LOOK_SECONDS = 30.0
_FIRST_SECONDS = 600.0
_JITTER = 0.1
_RETRY_SECONDS = 2.0

_OUTAGE = (*AWAY, NatsError)


class Upkeep:
    """Keeps the catalog and the bucket whole."""

    def __init__(self, catalog: CatalogSync, bus: Bus) -> None:
        self._catalog = catalog
        self._bus = bus
        self._compare_again = asyncio.Event()
        self.first_sync_done = asyncio.Event()
        bus.after_reconnect(self.compare_soon)

    async def run(self) -> None:
        """Start, then compare for ever; until cancelled."""
        while not self.first_sync_done.is_set():
            await self._try(self._begin)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_COMPARE_SECONDS):
                    await self._compare_again.wait()
            self._compare_again.clear()
            await self._try(self._compare)

    async def compare_soon(self) -> None:
        """Have the bucket compared as soon as that can be."""
        self._compare_again.set()

    async def is_synced(self) -> bool:
        """Whether the first sync is done: a readiness check."""
        return self.first_sync_done.is_set()

    async def _try(self, work: Callable[[], Awaitable[bool]]) -> None:
        """Do it; when it fails for an outage or says that it did not succeed, let a while pass."""
        try:
            if await work():
                return
        except _OUTAGE as error:
            log.warning("upkeep_waits", error=type(error).__name__)
        await asyncio.sleep(_RETRY_SECONDS)
        self._compare_again.set()

    async def _begin(self) -> bool:
        await self._catalog.make_default_providers()
        await self._catalog.make_default_tiers()
        await self._compare()
        sync, _ = await self._catalog.sync(FIRST_SOURCE)
        if sync.error is None:
            self.first_sync_done.set()
        return sync.error is None

    async def _compare(self) -> bool:
        told = await self._catalog.republish(await read_bucket(self._bus, CATALOG_BUCKET.name, bytes))
        if told:
            log.info("catalog_republished", snapshots=told)
        return True


class Schedule:
    """Reads every source but the first again and again, each in its own time; of several replicas one reads it."""

    def __init__(self, catalog: CatalogSync, clock: Clock, interval_seconds: float) -> None:
        self._catalog = catalog
        self._clock = clock
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Look every so often whether a source is due; until cancelled."""
        while True:
            try:
                await self.read_due()
            except _OUTAGE as error:
                log.warning("schedule_waits", error=type(error).__name__)
            await asyncio.sleep(_LOOK_SECONDS)

    async def read_due(self) -> list[str]:
        """Read every source that is due; which ones that were."""
        read = []
        for source in await self._catalog.source_names():
            if source != FIRST_SOURCE and await self._catalog.claim_turn(source, *self._turns()):
                read.append(source)
                await self._read(source)
        return read

    async def _read(self, source: str) -> None:
        with suppress(UnknownSource):  # an instance that was removed this very moment
            await self._catalog.sync(source)

    def _turns(self) -> tuple[datetime, datetime]:
        """When a source that is due now is due again, and when one that is new here is for the first time: somewhat
        apart, so that not all the world asks at once."""
        now, jitter = self._clock.now(), random.uniform(-_JITTER, _JITTER)  # noqa: S311 - no secret hangs on it
        return (
            now + timedelta(seconds=self._interval_seconds * (1 + jitter)),
            now + timedelta(seconds=min(_FIRST_SECONDS, self._interval_seconds) * (1 + jitter)),
        )
