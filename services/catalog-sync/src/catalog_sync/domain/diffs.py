"""What a sync changed, in few words for its record: bounded, so that a record stays small whatever a source does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from common.pricing import Price

from catalog_sync.domain.models import Facts, PricedModel
from catalog_sync.domain.prices import content_of, effective
from catalog_sync.domain.reconcile import Change, Changes
from catalog_sync.domain.vetting import Held

_MOST = 200


def diff_of(before: Mapping[str, PricedModel], changes: Changes, held: Sequence[Held]) -> dict[str, Any]:
    """`added`, `gone` (names), `changed` (name, facts that differ, price from and to), `held` (name and reason): the
    first 200 of each."""
    return {
        "added": [_name(change.after) for change in changes.added[:_MOST]],
        "changed": [_changed(before[change.after.model.id], change) for change in changes.changed[:_MOST]],
        "gone": [_name(one) for one in changes.gone[:_MOST]],
        "held": [{"model": _subject(before, one), "reason": one.reason} for one in held[:_MOST]],
    }


def _changed(before: PricedModel, change: Change) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "model": _name(change.after),
        "facts": _differing(before.model.facts, change.after.model.facts),
    }
    if change.prices_to_add:
        entry["price"] = {"from": _last(before.prices), "to": _last(change.after.prices)}
    return entry


def _last(prices: Iterable[Price]) -> dict[str, Any] | None:
    rows = effective(prices)
    return content_of(rows[-1])["rates"] if rows else None


def _differing(one: Facts, other: Facts) -> list[str]:
    names = [field.name for field in fields(Facts)]
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def _name(one: PricedModel) -> str:
    return f"{one.model.facts.provider_type}/{one.model.facts.name}"


def _subject(before: Mapping[str, PricedModel], held: Held) -> str:
    found = before.get(held.subject)
    return _name(found) if found else held.subject
