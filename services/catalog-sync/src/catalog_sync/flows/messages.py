"""What others are told of models and prices: snapshots for those who decide, events for those who count."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from common.contracts.changes import (
    CATALOG_MODEL_REMOVED,
    CATALOG_MODEL_UPSERTED,
    CATALOG_PRICE_CHANGED,
    CATALOG_SYNCED,
    CatalogModelChanged,
    CatalogPriceChanged,
    CatalogSynced,
)
from common.contracts.topology import CATALOG_BUCKET
from common.ids import uuid7
from common.postgres.outbox import Message, event, snapshot
from common.pricing import Price

from catalog_sync.domain.models import Model, PricedModel
from catalog_sync.domain.provider_types import is_callable
from catalog_sync.domain.reconcile import Change, Changes
from catalog_sync.domain.snapshots import model_key, model_snapshot
from catalog_sync.domain.syncs import Sync
from catalog_sync.flows.transactions import SOURCE

_MOST_EVENTS = 500
"""A sync that changes more models than this is told as a whole: a first sync is no news of two thousand models."""


def told_of(priced: PricedModel) -> list[Message]:
    """What the gateways are told of a model: nothing of one that they could not call."""
    if not is_callable(priced.model.facts.provider_type):
        return []
    return [snapshot(CATALOG_BUCKET.name, model_key(priced.model.id), model_snapshot(priced))]


def upserted(model: Model, at: datetime) -> Message:
    """A model is there for the first time, or differs."""
    return _model_event("catalog.model.upserted", CATALOG_MODEL_UPSERTED, model, at)


def price_changed(model: Model, price: Price, source: str, at: datetime) -> Message:
    """A model has a further price."""
    content = CatalogPriceChanged(
        model_id=model.id,
        provider_type=model.facts.provider_type,
        name=model.facts.name,
        version=price.version,
        starts_at=price.starts_at,
        is_correction=price.starts_at < at,
        source=source,
    )
    return event("catalog.price.changed", CATALOG_PRICE_CHANGED, uuid7(), at, SOURCE, content)


def synced(sync: Sync, changes: Changes) -> list[Message]:
    """Everything that a sync has to tell; nothing when nothing changed."""
    if not changes:
        return []
    both = (*changes.added, *changes.changed)
    content = CatalogSynced(
        source=sync.source,
        models_added=sync.added,
        models_changed=sync.changed,
        models_gone=sync.gone,
        prices_added=sync.prices_added,
    )
    return [
        *(message for change in both for message in told_of(change.after)),
        *_each(both, changes, sync),
        event("catalog.synced", CATALOG_SYNCED, sync.id, sync.ended_at, SOURCE, content),
    ]


def _each(both: Iterable[Change], changes: Changes, sync: Sync) -> list[Message]:
    at = sync.ended_at
    told = [upserted(change.after.model, at) for change in both]
    told += [_model_event("catalog.model.removed", CATALOG_MODEL_REMOVED, one.model, at) for one in changes.gone]
    told += [
        price_changed(change.after.model, price, sync.source, at)
        for change in changes.changed
        for price in change.prices_to_add
    ]
    return told if len(told) <= _MOST_EVENTS else []


def _model_event(subject: str, event_type: str, model: Model, at: datetime) -> Message:
    content = CatalogModelChanged(
        model_id=model.id,
        provider_type=model.facts.provider_type,
        name=model.facts.name,
        enabled=model.enabled,
        deprecated_at=model.deprecated_at,
    )
    return event(subject, event_type, uuid7(), at, SOURCE, content)
