"""From what a source lists to models and dated prices: the rules that hold for every source.

- The first known price holds from 1970 on, so that any call has one; a later one from its own date.
- Where the hour of the day matters, the dearest rate of each bucket is the price at every hour: an event is priced by
  one dated row, and what is reserved must never be less than what is owed.
- A model whose name ends in `:free` and that has no price costs an explicit zero. Any other without a price has none.
- A service tier that costs what the ordinary call costs is no variant.
- A name belongs to one model of a provider: a model's own name goes before another's other spelling, then the first wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from common.pricing import Price, Rates, Tier

from catalog_sync.domain.listing import ListedModel, ListedPrice, Quotes
from catalog_sync.domain.models import Facts
from catalog_sync.domain.prices import ALWAYS, dated, is_same_content

_FREE = {"input_tokens": Decimal(0), "output_tokens": Decimal(0)}
_FREE_SUFFIX = ":free"
_UNKNOWN = ListedPrice(None, ({},))


@dataclass(frozen=True, slots=True)
class SourcedModel:
    """A model as a source has it, in our terms; `prices` by rising start, each different from the one before."""

    facts: Facts
    prices: tuple[Price, ...] = ()
    is_deprecated: bool = False
    ends_at: datetime | None = None


def normalise(listed: Iterable[ListedModel]) -> tuple[SourcedModel, ...]:
    """All models of a source, each once, with names that belong to one model only."""
    by_id: dict[str, ListedModel] = {}
    for one in listed:
        by_id.setdefault(one.facts.model_id, one)
    taken = {(one.facts.provider_type, one.facts.name) for one in by_id.values()}
    models = []
    for one in by_id.values():
        names = _free_names(one.facts, taken)
        taken.update((one.facts.provider_type, name) for name in names)
        facts = replace(one.facts, names=names)
        models.append(SourcedModel(facts, prices_of(facts, one.prices), one.is_deprecated, one.ends_at))
    return tuple(models)


def prices_of(facts: Facts, schedule: Sequence[ListedPrice]) -> tuple[Price, ...]:
    """The dated prices that a schedule amounts to; none when no price is known."""
    prices: list[Price] = []
    for listed in schedule or (_UNKNOWN,):
        price = _price(facts, listed)
        if price is not None and not (prices and is_same_content(prices[-1], price)):
            starts_at = ALWAYS if not prices or listed.starts_at is None else listed.starts_at
            prices.append(dated(facts.model_id, starts_at, price.rates, price.tiers, price.variants))
    return tuple(prices)


def _free_names(facts: Facts, taken: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(facts.names) if (facts.provider_type, name) not in taken)


def _price(facts: Facts, listed: ListedPrice) -> Price | None:
    if not any(listed.by_hour):
        return dated(facts.model_id, ALWAYS, _FREE) if facts.name.endswith(_FREE_SUFFIX) else None
    thresholds = sorted(_thresholds(listed.by_hour).union(*map(_thresholds, listed.by_service_tier.values())))
    tiers = [
        Tier(threshold, _dearest(listed.by_hour, threshold), _variants(listed, threshold)) for threshold in thresholds
    ]
    return dated(facts.model_id, ALWAYS, _dearest(listed.by_hour, None), tiers, _variants(listed, None))


def _thresholds(by_hour: Iterable[Quotes]) -> set[int]:
    return {start for quotes in by_hour for quote in quotes.values() for start, _ in quote.above}


def _variants(listed: ListedPrice, threshold: int | None) -> dict[str, Rates]:
    return {
        name: _dearest(by_hour, threshold)
        for name, by_hour in listed.by_service_tier.items()
        if by_hour != listed.by_hour
    }


def _dearest(by_hour: Iterable[Quotes], threshold: int | None) -> Rates:
    rates: dict[str, Decimal] = {}
    for quotes in by_hour:
        for name, quote in quotes.items():
            rates[name] = max(quote.at(threshold), rates.get(name, Decimal(0)))
    return rates
