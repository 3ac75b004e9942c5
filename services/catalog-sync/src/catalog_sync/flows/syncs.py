"""Journeys of syncs: a source becomes our catalog, and the bucket what the catalog says."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from common.actors import Actor
from common.clock import Clock
from common.contracts.topology import CATALOG_BUCKET
from common.errors import BadRequest, NotFound
from common.http.fetch import SourceUnreadable
from common.ids import uuid7
from common.postgres.outbox import Message, add, removal, snapshot
from common.postgres.pool import Connection, Pool
from common.pricing import Price, in_force

from catalog_sync.domain.diffs import diff_of
from catalog_sync.domain.models import PricedModel
from catalog_sync.domain.normalise import SourcedModel, normalise
from catalog_sync.domain.prices import effective
from catalog_sync.domain.reconcile import Changes, reconcile
from catalog_sync.domain.snapshots import alias_key, alias_snapshot, provider_key, provider_snapshot
from catalog_sync.domain.syncs import SeenModel, Sighting, Sync, by_model
from catalog_sync.domain.vetting import Held, Known, Vetted, confirmed, held_gone, vet
from catalog_sync.flows.messages import synced, told_of
from catalog_sync.flows.tiers import tier_told
from catalog_sync.flows.transactions import Transactions, audited
from catalog_sync.metrics import SyncMetrics
from catalog_sync.sources.own_list import OWN_LIST, OwnLists
from catalog_sync.sources.source import Source
from catalog_sync.store import aliases, models, prices, providers, readings, syncs, tiers
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
        self,
        pool: Pool,
        clock: Clock,
        sources: Sequence[Source],
        metrics: SyncMetrics,
        kept: KeptLists,
        own_lists: OwnLists | None = None,
    ) -> None:
        super().__init__(pool, clock, sources, metrics, kept)
        self._own_lists = own_lists
        self._one_at_a_time = asyncio.Lock()  # so that waiting syncs do not hold all connections

    async def sync(self, source_name: str, actor: Actor | None = None) -> tuple[Sync, int]:
        """Make our models of a source what it lists, and record that; a source that cannot be read changes nothing
        (the record's `error` says why). UnknownSource."""
        source = await self._source(source_name)
        async with self._one_at_a_time:
            started_at = self._clock.now()
            try:
                sourced = await asyncio.to_thread(normalise, await source.read())
            except SourceUnreadable as error:
                return await self._record_failure(source_name, started_at, error.message), 0
            return await self._apply(source, started_at, sourced, actor)

    async def _source(self, name: str) -> Source:
        """A source by its name; `provider:<instance>` is that instance's own list. UnknownSource."""
        kind, _, instance = name.partition(":")
        if kind == OWN_LIST and self._own_lists is not None:
            async with self._reading() as connection:
                instances = await providers.all_providers(connection)
            provider = next((one for one in instances if one.name == instance), None)
            own = self._own_lists.of(provider) if provider else None
            if own is not None:
                return own
        elif name in self._sources:
            return self._sources[name]
        raise UnknownSource(f"unknown source; known: {', '.join(await self.source_names())}")

    async def source_names(self) -> list[str]:
        """Every source that can be read now."""
        names = list(self._sources)
        if self._own_lists is not None:
            async with self._reading() as connection:
                instances = await providers.all_providers(connection)
            names += [own.name for one in instances if (own := self._own_lists.of(one)) is not None]
        return names

    async def claim_turn(self, source: str, next_at: datetime, first_at: datetime) -> bool:
        """Whether a source is due and this replica is the one to read it; its next turn is at `next_at` then."""
        async with self._pool.acquire() as connection:
            return await syncs.claim_turn(connection, source, self._clock.now(), next_at, first_at)

    async def show_sync(self, sync_id: str) -> Sync:
        """One sync, with what it changed; NotFound."""
        async with self._reading() as connection:
            found = await syncs.sync_by_id(connection, sync_id)
        if found is None:
            raise NotFound("no such sync")
        return found

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
        self, source: Source, started_at: datetime, sourced: Sequence[SourcedModel], actor: Actor | None
    ) -> tuple[Sync, int]:
        async with self._writing() as connection:
            now, name = self._clock.now(), source.name
            ours = {one.model.id: one for one in await _ours(connection)}
            known = Known(ours, await readings.all_readings(connection), await readings.pinned_models(connection))
            vetted = await asyncio.to_thread(vet, sourced, name, source.standing, known, now)
            changes, held = _believed(reconcile(ours.values(), vetted.models, name, now), vetted.held, ours, name)
            await _write(connection, changes, name, now)
            await readings.withdraw_confirmed(connection, confirmed(known.readings, _prices_now(changes, now)))
            await _remember(connection, name, vetted, held, {one.facts.model_id for one in sourced}, now)
            sync = Sync(
                id=uuid7(),
                source=name,
                started_at=started_at,
                ended_at=self._clock.now(),
                added=len(changes.added),
                changed=len(changes.changed),
                gone=len(changes.gone),
                prices_added=changes.prices_added,
                held=len(held),
                changes=diff_of(ours, changes, held),
            )
            await syncs.insert_sync(connection, sync)
            acts = [audited(actor, "catalog.synced", sync.id, now, source=name)] if actor else []
            last = await add(connection, [*synced(sync, changes), *acts])
        figures = {kind: getattr(sync, kind) for kind in ("added", "changed", "gone", "prices_added", "held")}
        self._metrics.completed(name, **figures)
        log.info("catalog_synced", source=name, **figures)
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


def _believed(
    changes: Changes, held: Sequence[Held], ours: Mapping[str, PricedModel], source: str
) -> tuple[Changes, tuple[Held, ...]]:
    """The changes without the news that too many models are gone, which is held back instead."""
    present = sum(one.model.source == source and one.model.gone_at is None for one in ours.values())
    doubted = held_gone(changes.gone, present)
    return (changes, tuple(held)) if doubted is None else (replace(changes, gone=()), (*held, doubted))


def _prices_now(changes: Changes, now: datetime) -> dict[str, Price]:
    """The price in force of each model whose prices have changed."""
    found = {
        change.after.model.id: in_force(effective(change.after.prices), now)
        for change in (*changes.added, *changes.changed)
        if change.prices_to_add
    }
    return {model_id: price for model_id, price in found.items() if price is not None}


async def _remember(
    connection: Connection, source: str, vetted: Vetted, held: Sequence[Held], listed: Collection[str], now: datetime
) -> None:
    """Write down what the source said, and what of it waits for a person."""
    await readings.put_readings(connection, vetted.readings, now)
    await readings.forget_readings(connection, source, listed)
    said = [one.fingerprint for one in held]
    subjects = {*vetted.cleared, *(one.subject for one in held), "*"}
    await readings.withdraw(connection, source, subjects, said)
    await readings.hold(connection, source, [(uuid7(), one) for one in held], now)


async def _everything(connection: Connection) -> list[Message]:
    """What the bucket should hold: models that no gateway could call are not told."""
    bucket = CATALOG_BUCKET.name
    instances = await providers.all_providers(connection)
    named = await aliases.page_of_aliases(connection, None, None)
    return [
        *(snapshot(bucket, provider_key(one.id), provider_snapshot(one)) for one in instances),
        *(message for one in await _ours(connection) for message in told_of(one)),
        *(snapshot(bucket, alias_key(one.id), alias_snapshot(one)) for one in named),
        *(tier_told(rule) for rule in await tiers.all_tiers(connection)),
    ]
