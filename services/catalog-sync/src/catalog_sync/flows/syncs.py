"""Journeys of syncs: a source becomes our catalog, and the bucket what the catalog says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from common.clock import Clock
from common.contracts.changes import CATALOG_SYNCED, CatalogSynced
from common.contracts.topology import CATALOG_BUCKET
from common.errors import BadRequest
from common.ids import uuid7
from common.postgres.outbox import Message, add, event, removal, snapshot
from common.postgres.pool import Connection, Pool
from common.pricing import Price

from catalog_sync.domain.models import PricedModel
from catalog_sync.domain.normalise import SourcedModel, normalise
from catalog_sync.domain.reconcile import Changes, reconcile
from catalog_sync.domain.snapshots import (
    alias_key,
    alias_snapshot,
    provider_key,
    provider_snapshot,
)
from catalog_sync.domain.syncs import SeenModel, Sighting, Sync, by_model
from catalog_sync.flows.models import told_of
from catalog_sync.flows.transactions import SOURCE, Transactions, audited
from catalog_sync.metrics import SyncMetrics
from catalog_sync.sources.source import Source, SourceUnreadable
from catalog_sync.store import aliases, models, prices, providers, syncs
from catalog_sync.store.kept_lists import KeptLists
from catalog_sync.store.turns import waiting_snapshots

log = structlog.get_logger()

_SEEN_NAMES = 10_000


class UnknownSource(BadRequest):
    """There is no source of this name."""

    code = "unknown_source"


class SyncFlows(Transactions):
    """Syncs, their records, and what calls have shown to be missing."""

    def __init__(
        self, pool: Pool, clock: Clock, sources: Sequence[Source], metrics: SyncMetrics, kept: KeptLists
    ) -> None:
        super().__init__(pool, clock, sources, metrics, kept)
        self._one_at_a_time = asyncio.Lock()  # so that waiting syncs do not hold all connections

    async def sync(self, source_name: str, actor: str | None = None) -> tuple[Sync, int]:
        """Make our models of a source what it lists, and record that; a source that cannot be read changes nothing
        (the record's `error` says why). UnknownSource."""
        source = self._sources.get(source_name)
        if source is None:
            raise UnknownSource(f"unknown source; known: {', '.join(sorted(self._sources))}")
        async with self._one_at_a_time:
            started_at = self._clock.now()
            try:
                sourced = await asyncio.to_thread(normalise, await source.read())
            except SourceUnreadable as error:
                return await self._record_failure(source_name, started_at, error.message), 0
            return await self._apply(source_name, started_at, sourced, actor)

    async def republish(self, published: Mapping[str, bytes]) -> int:
        """Tell again what the bucket lacks or has otherwise (`published`: its keys and values), and take out what is no
        more; returns how much that was. What the outbox is about to tell is left to it."""
        async with self._writing() as connection:
            waiting = await waiting_snapshots(connection)
            present = {message.key: message for message in await _everything(connection)}
            lacking = [message for key, message in present.items() if published.get(key) != message.body]
            surplus = [removal(CATALOG_BUCKET.name, key) for key in published if key not in present]
            told = [message for message in (*lacking, *surplus) if message.key not in waiting]
            await add(connection, told)
        self._metrics.republished.inc(len(told))
        return len(told)

    async def list_syncs(self, before: tuple[datetime, str] | None, limit: int) -> list[Sync]:
        """Records of syncs, the latest first."""
        async with self._reading() as connection:
            return await syncs.page_of_syncs(connection, before, limit)

    async def note_sightings(self, sightings: Sequence[Sighting]) -> None:
        """Count calls of models that had no price; the names seen last are kept, a bounded number of them."""
        if not sightings:
            return
        async with self._pool.acquire() as connection, connection.transaction():
            await syncs.count_sightings(connection, by_model(sightings))
            await syncs.forget_oldest(connection, _SEEN_NAMES)

    async def list_seen(self, after: tuple[str, str] | None, limit: int) -> list[SeenModel]:
        """Names that were called and still have no price."""
        async with self._reading() as connection:
            return await syncs.page_of_seen(connection, after, limit)

    async def _apply(
        self, source: str, started_at: datetime, sourced: Sequence[SourcedModel], actor: str | None
    ) -> tuple[Sync, int]:
        async with self._writing() as connection:
            now = self._clock.now()
            changes = reconcile(await _ours(connection), sourced, source, now)
            await _write(connection, changes, source, now)
            sync = Sync(
                id=uuid7(),
                source=source,
                started_at=started_at,
                ended_at=self._clock.now(),
                added=len(changes.added),
                changed=len(changes.changed),
                gone=len(changes.gone),
                prices_added=changes.prices_added,
            )
            await syncs.insert_sync(connection, sync)
            acts = [audited(actor, "catalog.synced", sync.id, now, source=source)] if actor else []
            last = await add(connection, [*_told(changes), *_synced(sync, changes), *acts])
        figures = {kind: getattr(sync, kind) for kind in ("added", "changed", "gone", "prices_added")}
        self._metrics.completed(source, **figures)
        log.info("catalog_synced", source=source, **figures)
        return sync, last

    async def _record_failure(self, source: str, started_at: datetime, error: str) -> Sync:
        sync = Sync(uuid7(), source, started_at, self._clock.now(), error=error)
        async with self._pool.acquire() as connection:
            await syncs.insert_sync(connection, sync)
        self._metrics.failed(source)
        log.error("sync_failed", source=source, error=error)
        return sync


async def _ours(connection: Connection) -> list[PricedModel]:
    prices_by_model: dict[str, list[Price]] = {}
    for model_id, price in await prices.all_prices(connection):
        prices_by_model.setdefault(model_id, []).append(price)
    held = await models.all_models(connection)
    return [PricedModel(model, tuple(prices_by_model.get(model.id, ()))) for model in held]


async def _write(connection: Connection, changes: Changes, source: str, now: datetime) -> None:
    both = (*changes.added, *changes.changed)
    await models.insert_models(connection, [change.after.model for change in changes.added])
    touched = [*(change.after for change in changes.changed), *changes.gone]
    await models.update_models(connection, [priced.model for priced in touched])
    rows = [(change.after.model.id, price) for change in both for price in change.prices_to_add]
    await prices.insert_prices(connection, rows, source, now)


def _told(changes: Changes) -> list[Message]:
    both = (*changes.added, *changes.changed)
    return [message for change in both for message in told_of(change.after)]


def _synced(sync: Sync, changes: Changes) -> list[Message]:
    if not changes:
        return []
    content = CatalogSynced(
        source=sync.source,
        models_added=sync.added,
        models_changed=sync.changed,
        models_gone=sync.gone,
        prices_added=sync.prices_added,
    )
    return [event("catalog.synced", CATALOG_SYNCED, sync.id, sync.ended_at, SOURCE, content)]


async def _everything(connection: Connection) -> list[Message]:
    """What the bucket should hold: models that no gateway could call are not told."""
    bucket = CATALOG_BUCKET.name
    instances = await providers.all_providers(connection)
    named = await aliases.page_of_aliases(connection, None, None)
    return [
        *(snapshot(bucket, provider_key(one.id), provider_snapshot(one)) for one in instances),
        *(message for one in await _ours(connection) for message in told_of(one)),
        *(snapshot(bucket, alias_key(one.id), alias_snapshot(one)) for one in named),
    ]
