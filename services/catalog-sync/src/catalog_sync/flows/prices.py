"""Journeys of prices that a person sets: further dated rows, and pins against what sources say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from common.actors import Actor
from common.errors import NotFound
from common.postgres.outbox import add
from common.postgres.pool import Connection
from common.pricing import in_force

from catalog_sync.domain.models import Model, PricedModel
from catalog_sync.domain.prices import ALWAYS, PriceRow, dated, effective, restarted
from catalog_sync.flows.messages import price_changed, told_of
from catalog_sync.flows.transactions import Transactions, audited
from catalog_sync.store import models, prices, readings

ADMIN = "admin"
"""The source of prices that a person set."""
PINNED = "pinned"
"""The source of prices that a person set and that no source may change."""


class PriceFlows(Transactions):
    """Prices by hand. None is ever edited: correcting the past is a row that starts there."""

    async def set_price(
        self, actor: Actor, model_id: str, rates: Mapping[str, Decimal], starts_at: datetime | None, is_pinned: bool
    ) -> tuple[PriceRow, int]:
        """Give a model a price from an instant on (None: now; for its first price: always). NotFound."""
        now = self._clock.now()
        async with self._writing() as connection:
            model = await _found(connection, model_id)
            held = await prices.prices_of_model(connection, model.id)
            price = dated(model.id, (starts_at or now) if held else ALWAYS, rates)
            source = PINNED if is_pinned else ADMIN
            await prices.insert_prices(connection, [(model.id, price)], source, now)
            if is_pinned:
                await readings.pin(connection, model.id, actor.id, now)
            action = "price.pinned" if is_pinned else "price.set"
            told = [*told_of(PricedModel(model, (*held, price))), price_changed(model, price, source, now)]
            last = await add(connection, [*told, audited(actor, action, model.id, now, version=price.version)])
            [row] = await prices.page_of_prices(connection, model.id, None, 1)
            return row, last

    async def unpin_price(self, actor: Actor, model_id: str) -> int:
        """Let sources change the price again: what they last agreed on holds from now on. NotFound without a pin."""
        now = self._clock.now()
        async with self._writing() as connection:
            model = await _found(connection, model_id)
            if not await readings.unpin(connection, model.id):
                raise NotFound("the model's price is not pinned")
            rows = await prices.page_of_prices(connection, model.id, None, None)
            others = [row.price for row in reversed(rows) if row.source != PINNED]
            before = in_force(effective(others), now)
            told = [audited(actor, "price.unpinned", model.id, now)]
            if before is not None:
                price = restarted(model.id, before, now)
                await prices.insert_prices(connection, [(model.id, price)], ADMIN, now)
                held = tuple(row.price for row in reversed(rows))
                told += [*told_of(PricedModel(model, (*held, price))), price_changed(model, price, ADMIN, now)]
            return await add(connection, told)


async def _found(connection: Connection, model_id: str) -> Model:
    model = await models.model_by_id(connection, model_id)
    if model is None:
        raise NotFound("no such model")
    return model
