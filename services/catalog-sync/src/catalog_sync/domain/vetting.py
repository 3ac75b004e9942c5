"""Which of a source's prices may become ours, and which are held back until a person decides. Pure.

- The packaged prices came with the release that somebody chose to install: they are vouched for. No other source is
  believed alone: its price becomes ours when another source has last said the same within 1 %.
- Whoever says it, a rate that moves more than threefold or falls to zero is held back, and so is the news that more than
  a fifth of a source's models are gone. Feeds have turned to zeros and changed their units before.
- Only what a source says anew counts: a source that repeats itself moves nothing, so that an old release does not undo
  what others have agreed on since.
- A pinned price stays. A model that neither its provider nor the package lists is no model of ours yet.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from common.ids import derived_id
from common.pricing import Price, in_force

from catalog_sync.domain.models import PricedModel
from catalog_sync.domain.normalise import SourcedModel
from catalog_sync.domain.prices import ALWAYS, content_of, dated, effective

PACKAGED = "packaged"

Standing = Literal["vouched", "own", "survey"]
"""What a source is: vouched for by the release, a provider's own list of its models, or somebody's survey of all."""

Reason = Literal["jump", "to_zero", "unconfirmed", "gone"]
"""Why something is held back."""

_TOLERANCE = Decimal("0.01")
_JUMP = 3
_GONE_SHARE = 5
"""More than one in so many models gone is not believed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source said last of a model: the price in force then, and a fingerprint of all it said."""

    source: str
    model_id: str
    fingerprint: str
    price: Price


@dataclass(frozen=True, slots=True)
class Held:
    """Something that a source says and that waits for a person: a price of a model, or models that are gone."""

    subject: str
    reason: Reason
    proposed: dict[str, Any]
    present: dict[str, Any] | None

    @property
    def fingerprint(self) -> str:
        """The same for the same thing said again."""
        return derived_id("held", self.subject, self.reason, json.dumps(self.proposed, sort_keys=True))


@dataclass(frozen=True, slots=True)
class Vetted:
    """What of a source's models may be taken over; what is held back; models with whose price nothing is wrong; and
    what the source has said, for the next time."""

    models: tuple[SourcedModel, ...]
    held: tuple[Held, ...]
    cleared: frozenset[str]
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What we have: our models by id, the last readings by model, and which models' prices are pinned."""

    models: Mapping[str, PricedModel]
    readings: Mapping[str, Sequence[Reading]]
    pinned: Collection[str]


def vet(theirs: Iterable[SourcedModel], source: str, standing: Standing, known: Known, now: datetime) -> Vetted:
    """Sort what a source says."""
    models, held, cleared, readings = [], [], [], []
    for one in theirs:
        model_id = one.facts.model_id
        if model_id in known.pinned:
            models.append(replace(one, prices=()))
            continue
        reading = _reading(one, source, now)
        verdict = _judge(one, reading, standing, known, now)
        if reading is not None:
            readings.append(reading)
        if isinstance(verdict, Held):
            held.append(verdict)
            models.append(replace(one, prices=()))
        elif verdict is not None:
            cleared.append(model_id)
            models.append(replace(one, prices=verdict))
        else:
            models.append(replace(one, prices=()))
    kept = [one for one in models if standing != "survey" or one.facts.model_id in known.models or one.prices]
    there = {one.facts.model_id for one in kept} | known.models.keys()
    return Vetted(tuple(kept), tuple(one for one in held if one.subject in there), frozenset(cleared), tuple(readings))


def held_gone(gone: Sequence[PricedModel], all_of_source: int) -> Held | None:
    """What to hold back when too many of a source's models are gone at once; None when it is believed."""
    if len(gone) * _GONE_SHARE <= all_of_source:
        return None
    return Held("*", "gone", {"models": sorted(one.model.id for one in gone)}, None)


def confirmed(readings: Mapping[str, Sequence[Reading]], prices: Mapping[str, Price]) -> list[tuple[str, str]]:
    """Whose word has come true: (source, model id) of each reading that says what a model's price is now."""
    return [
        (reading.source, model_id)
        for model_id, price in prices.items()
        for reading in readings.get(model_id, ())
        if agree(reading.price, price)
    ]


def agree(one: Price, other: Price) -> bool:
    """Whether two prices say the same within 1 % wherever both say something, of input or output at least."""
    shared = one.rates.keys() & other.rates.keys()
    return bool(shared & {"input_tokens", "output_tokens"}) and all(
        abs(one.rates[name] - other.rates[name]) <= _TOLERANCE * max(one.rates[name], other.rates[name])
        for name in shared
    )


def merged(model_id: str, *prices: Price | None) -> Price:
    """One price of several: each says what those after it leave open."""
    stated = [price for price in prices if price is not None]
    rates = {name: rate for price in reversed(stated) for name, rate in price.rates.items()}
    variants = {name: rate for price in reversed(stated) for name, rate in price.variants.items()}
    tiers = next((price.tiers for price in stated if price.tiers), ())
    return dated(model_id, ALWAYS, rates, tiers, variants)


def _reading(one: SourcedModel, source: str, now: datetime) -> Reading | None:
    price = in_force(one.prices, now)
    if price is None:
        return None
    everything = json.dumps([price.version for price in one.prices])
    return Reading(source, one.facts.model_id, derived_id("reading", everything), price)


def _judge(
    one: SourcedModel, reading: Reading | None, standing: Standing, known: Known, now: datetime
) -> Held | tuple[Price, ...] | None:
    """The prices to take over (none: ours is right as it is), what to hold back, or None when nothing is said anew."""
    model_id = one.facts.model_id
    ours = known.models.get(model_id)
    present = in_force(effective(ours.prices), now) if ours else None
    earlier = known.readings.get(model_id, ())
    if reading is None:
        return None
    if present is not None and any(
        (each.source, each.fingerprint) == (reading.source, reading.fingerprint) for each in earlier
    ):
        return None
    if present is not None and standing != "vouched" and agree(present, reading.price):
        return ()
    reason = _distrust(present, reading.price)
    if reason is None and standing == "vouched":
        return one.prices
    others = [each.price for each in earlier if each.source != reading.source]
    confirming = next((price for price in others if agree(price, reading.price)), None)
    if reason is None and confirming is not None:
        return (merged(model_id, reading.price, confirming, present),)
    proposed = content_of(merged(model_id, reading.price, confirming, present))
    return Held(model_id, reason or "unconfirmed", proposed, content_of(present) if present else None)


def _distrust(present: Price | None, stated: Price) -> Reason | None:
    """What makes a price unbelievable beside the present one, whoever states it."""
    if present is None:
        return None
    shared = [(present.rates[name], stated.rates[name]) for name in present.rates.keys() & stated.rates.keys()]
    if any(before > 0 and after == 0 for before, after in shared):
        return "to_zero"
    moved = (before > 0 and after > 0 and max(before, after) > _JUMP * min(before, after) for before, after in shared)
    return "jump" if any(moved) else None
