"""Journeys of models: what the public reads, and what admins do by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from common.actors import Actor
from common.errors import NotFound
from common.postgres.outbox import add
from common.postgres.pool import Connection

from catalog_sync.domain.aliases import NameTaken
from catalog_sync.domain.estimates import PricedEntry
from catalog_sync.domain.models import OWN, Facts, ListedEntry, Model, ModelFilter, PricedModel
from catalog_sync.domain.prices import ALWAYS, PriceRow, dated
from catalog_sync.domain.providers import UnknownProviderType
from catalog_sync.flows.messages import told_of, upserted
from catalog_sync.flows.transactions import Transactions, audited
from catalog_sync.store import aliases, listed, models, prices, providers
from catalog_sync.store.revisions import revision_at

Render = Callable[[list[ListedEntry], int], bytes]
"""From a part of the list, and how many there are in all, to an answer."""


class ModelFlows(Transactions):
    """The models and their prices."""

    async def list_models(self, asked: ModelFilter, sort: str, limit: int, offset: int, render: Render) -> bytes:
        """A part of the models asked for, and how many there are in all, rendered: from the cache, if it is there."""
        now, question = self._clock.now(), repr((asked, sort, limit, offset))
        async with self._pool.acquire() as connection:
            rendered = await self._kept.find(question, await revision_at(connection, now))
        if rendered is not None:
            return rendered
        async with self._reading() as connection:
            revision = await revision_at(connection, now)
            entries, total = await listed.listed_models(connection, asked, sort, limit, offset, now)
            if not entries and offset:
                total = await listed.count_models(connection, asked)
        rendered = render(entries, total)
        await self._kept.keep(question, revision, rendered)
        return rendered

    async def price_models(self, references: Sequence[str]) -> list[PricedEntry]:
        """Models by id or `provider/name`, in the order asked for, each with its price in force; NotFound names the
        first that there is not."""
        now = self._clock.now()
        async with self._reading() as connection:
            entries = await listed.listed_by_references(connection, references, now)
            in_force = await prices.prices_in_force(connection, [entry.model.id for entry in entries], now)
        found = {key: entry for entry in entries for key in (entry.model.id, entry.reference)}
        missing = next((one for one in references if one not in found), None)
        if missing is not None:
            raise NotFound(f"no such model: {missing[:256]}")
        chosen = dict.fromkeys(found[one].model.id for one in references)
        return [PricedEntry(found[model_id], in_force.get(model_id)) for model_id in chosen]

    async def show_model(self, model_id: str) -> ListedEntry:
        """One model; NotFound."""
        async with self._reading() as connection:
            return await _entry(connection, model_id, self._clock.now())

    async def list_prices(self, model_id: str, before_id: int | None, limit: int) -> list[PriceRow]:
        """A model's price rows, the latest added first; NotFound."""
        async with self._reading() as connection:
            await _found(connection, model_id)
            return await prices.page_of_prices(connection, model_id, before_id, limit)

    async def add_model(
        self, actor: Actor, provider: str, facts: Facts, rates: dict[str, Decimal] | None
    ) -> tuple[ListedEntry, int]:
        """Add a model of our own at a provider (type or instance name). UnknownProviderType, NameTaken."""
        now = self._clock.now()
        async with self._writing() as connection:
            facts = replace(facts, provider_type=await _provider_type(connection, provider))
            await _refuse_taken_name(connection, facts)
            model = Model(facts, OWN, now, now)
            priced = PricedModel(model, (dated(model.id, ALWAYS, rates),) if rates else ())
            await models.insert_models(connection, [model])
            await prices.insert_prices(connection, [(model.id, price) for price in priced.prices], OWN, now)
            act = audited(actor, "model.created", model.id, now, provider=facts.provider_type, name=facts.name)
            last = await add(connection, [*told_of(priced), upserted(model, now), act])
            return await _entry(connection, model.id, now), last

    async def enable_model(self, actor: Actor, model_id: str, enabled: bool) -> tuple[ListedEntry, int]:
        """Allow or forbid calls of a model; NotFound."""
        now = self._clock.now()
        async with self._writing() as connection:
            model = replace(await _found(connection, model_id), enabled=enabled, updated_at=now)
            await models.update_models(connection, [model])
            priced = PricedModel(model, tuple(await prices.prices_of_model(connection, model.id)))
            action = "model.enabled" if enabled else "model.disabled"
            last = await add(
                connection, [*told_of(priced), audited(actor, action, model.id, now, name=model.facts.name)]
            )
            return await _entry(connection, model.id, now), last


async def _found(connection: Connection, model_id: str) -> Model:
    model = await models.model_by_id(connection, model_id)
    if model is None:
        raise NotFound("no such model")
    return model


async def _entry(connection: Connection, model_id: str, now: datetime) -> ListedEntry:
    entry = await listed.listed_model(connection, model_id, now)
    if entry is None:
        raise NotFound("no such model")
    return entry


async def _provider_type(connection: Connection, provider: str) -> str:
    for instance in await providers.all_providers(connection):
        if provider in (instance.name, instance.provider_type):
            return instance.provider_type
    raise UnknownProviderType(provider)


async def _refuse_taken_name(connection: Connection, facts: Facts) -> None:
    if facts.provider_type in await models.types_serving(connection, facts.name):
        raise NameTaken(f"{facts.provider_type} has a model {facts.name} already")
    if await aliases.id_of_alias(connection, facts.name) is not None:
        raise NameTaken(f"there is an alias {facts.name}, which would hide the model")
