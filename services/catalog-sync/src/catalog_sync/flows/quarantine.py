"""Journeys of what is held back: a person accepts it or refuses it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from common.actors import Actor
from common.errors import Conflict, NotFound
from common.postgres.outbox import Message, add
from common.postgres.pool import Connection
from common.pricing import Price

from catalog_sync.domain.models import PricedModel
from catalog_sync.domain.prices import ALWAYS, price_from, restarted
from catalog_sync.domain.syncs import HeldItem
from catalog_sync.domain.vetting import confirmed
from catalog_sync.flows.messages import price_changed, told_of
from catalog_sync.flows.transactions import Transactions, audited
from catalog_sync.store import models, prices, readings


class AlreadyDecided(Conflict):
    """Nothing waits here any more."""

    code = "already_decided"


class Pinned(Conflict):
    """The model's price is pinned."""

    code = "pinned"


class QuarantineFlows(Transactions):
    """What sources say and nobody believes yet."""

    async def list_quarantine(
        self,
        state: str | None,
        source: str | None,
        reason: str | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[HeldItem]:
        """What waits, or was decided, the latest first."""
        async with self._reading() as connection:
            return await readings.page_of_quarantine(connection, state, source, reason, before, limit)

    async def accept(self, actor: Actor, item_id: str) -> tuple[HeldItem, int]:
        """Take it over: a price holds from now on, models are gone. NotFound, AlreadyDecided, Pinned."""
        now = self._clock.now()
        async with self._writing() as connection:
            item = await _open_item(connection, item_id)
            taken = _take_gone if item.reason == "gone" else _take_price
            told = await taken(connection, item, now)
            return await _decided(connection, item, "accepted", actor, now, told)

    async def refuse(self, actor: Actor, item_id: str) -> tuple[HeldItem, int]:
        """Leave everything as it is; the same thing said again is refused already. NotFound, AlreadyDecided."""
        now = self._clock.now()
        async with self._writing() as connection:
            item = await _open_item(connection, item_id)
            return await _decided(connection, item, "refused", actor, now, [])


async def _open_item(connection: Connection, item_id: str) -> HeldItem:
    item = await readings.item_by_id(connection, item_id)
    if item is None:
        raise NotFound("there is nothing of this id in quarantine")
    if item.state != "open":
        raise AlreadyDecided(f"this was {item.state} already")
    return item


async def _decided(
    connection: Connection, item: HeldItem, state: str, actor: Actor, now: datetime, told: list[Message]
) -> tuple[HeldItem, int]:
    await readings.decide(connection, item.id, state, actor.id, now)
    act = audited(actor, f"quarantine.{state}", item.id, now, source=item.source, reason=item.reason)
    last = await add(connection, [*told, act])
    return replace(item, state=state, decided_by=actor.id, decided_at=now), last


async def _take_price(connection: Connection, item: HeldItem, now: datetime) -> list[Message]:
    model = await models.model_by_id(connection, item.subject)
    if model is None:
        raise NotFound("the model is no more")
    if model.id in await readings.pinned_models(connection):
        raise Pinned("the model's price is pinned: unpin it first")
    proposed = _proposed(item.proposed)
    held = await prices.prices_of_model(connection, model.id)
    # A first price holds for all time, as of every model: there is no other that an earlier call could have.
    price = restarted(model.id, proposed, now if held else ALWAYS)
    await prices.insert_prices(connection, [(model.id, price)], item.source, now)
    said = confirmed(await readings.all_readings(connection), {model.id: price})
    await readings.withdraw_confirmed(connection, said)
    return [*told_of(PricedModel(model, (*held, price))), price_changed(model, price, item.source, now)]


async def _take_gone(connection: Connection, item: HeldItem, now: datetime) -> list[Message]:
    found = [await models.model_by_id(connection, model_id) for model_id in item.proposed["models"]]
    gone = [
        replace(model, gone_at=now, updated_at=now)
        for model in found
        if model is not None and model.gone_at is None and model.source == item.source
    ]
    await models.update_models(connection, gone)
    return []


def _proposed(content: dict[str, Any]) -> Price:
    return price_from("", ALWAYS, content["rates"], content["tiers"], content["variants"])
