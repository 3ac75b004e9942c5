"""What a source lists, in its own schedule but already under our names; `normalise` makes models and prices of it.

A source may say of a price when it starts, at which hours of the day it differs, above how many input tokens, and for
which service tiers. Here all of that still stands side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from catalog_sync.domain.models import Facts


@dataclass(frozen=True, slots=True)
class Quote:
    """One rate: US dollars per million tokens (per one of a unit), and from which input length on it is another."""

    basis: Decimal
    above: tuple[tuple[int, Decimal], ...] = ()
    """(input tokens that must be passed, the rate from there on), by rising number."""

    def at(self, threshold: int | None) -> Decimal:
        """The rate of a call whose input has passed `threshold`, and no higher one; None: has passed none."""
        rate = self.basis
        for start, dearer in self.above:
            if threshold is not None and start <= threshold:
                rate = dearer
        return rate


Quotes = Mapping[str, Quote]
"""Quotes by bucket or unit name (`common.pricing`)."""


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """What a model costs from an instant on (None: as long as anybody knows).

    `by_hour` holds one set of quotes for each part of the day that has its own, `by_service_tier` the same for each
    tier that has quotes of its own. Empty quotes mean that the source knows no price.
    """

    starts_at: datetime | None
    by_hour: tuple[Quotes, ...]
    by_service_tier: Mapping[str, tuple[Quotes, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model of a source, with its schedule of prices by rising start. `is_deprecated` where no date is known."""

    facts: Facts
    prices: tuple[ListedPrice, ...] = ()
    is_deprecated: bool = False
    ends_at: datetime | None = None
    """When its provider will stop serving it, where a date is known."""
