"""Dated prices: how one is named, written down and compared.

A price row is never changed, so all that can happen to a model's prices is that one more row is added. Of several rows
the one that holds at an instant is the latest to have started; of two that start together, the one added later. A
row's version is computed from its model, its start and its content: the same row always has the same version.

As JSON (in the table) every rate is a decimal string in one spelling, and names are in order, so that equal
contents are equal texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from common.clock import rfc3339
from common.ids import derived_id
from common.money import plain
from common.pricing import Price, Rates, Tier

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""When a price starts whose beginning nobody knows: any call is later than that."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One row of the table: a model's price, where it came from and when it was read there."""

    id: int
    model_id: str
    price: Price
    source: str
    read_at: datetime


def dated(
    model_id: str,
    starts_at: datetime,
    rates: Rates,
    tiers: Sequence[Tier] = (),
    variants: Mapping[str, Rates] | None = None,
) -> Price:
    """A model's price from an instant on, with everything in its one order and its version computed."""
    ordered = tuple(
        Tier(tier.above_input_tokens, _in_order(tier.rates), _variants(tier.variants))
        for tier in sorted(tiers, key=lambda tier: tier.above_input_tokens)
    )
    price = Price("", _in_order(rates), ordered, _variants(variants or {}), starts_at)
    content = json.dumps(content_of(price), sort_keys=True)
    return Price(
        version=derived_id("price", model_id, rfc3339(starts_at), content),
        rates=price.rates,
        tiers=price.tiers,
        variants=price.variants,
        starts_at=starts_at,
    )


def restarted(model_id: str, price: Price, starts_at: datetime) -> Price:
    """The same rates, holding from another instant on."""
    return dated(model_id, starts_at, price.rates, price.tiers, price.variants)


def content_of(price: Price) -> dict[str, Any]:
    """What a price says, apart from when: `rates`, `tiers`, `variants` as they stand in the table."""
    return {
        "rates": _texts(price.rates),
        "tiers": [
            {
                "above_input_tokens": tier.above_input_tokens,
                "rates": _texts(tier.rates),
                "variants": {name: _texts(rates) for name, rates in tier.variants.items()},
            }
            for tier in price.tiers
        ],
        "variants": {name: _texts(rates) for name, rates in price.variants.items()},
    }


def price_from(
    version: str, starts_at: datetime, rates: dict[str, Any], tiers: list[dict[str, Any]], variants: dict[str, Any]
) -> Price:
    """A price as it was written down; the inverse of `content_of`."""
    return Price(
        version=version,
        rates=_decimals(rates),
        tiers=tuple(
            Tier(
                int(tier["above_input_tokens"]),
                _decimals(tier["rates"]),
                {name: _decimals(tier["variants"][name]) for name in sorted(tier["variants"])},
            )
            for tier in tiers
        ),
        variants={name: _decimals(variants[name]) for name in sorted(variants)},
        starts_at=starts_at,
    )


def is_same_content(one: Price | None, other: Price | None) -> bool:
    """Whether two prices say the same; nothing says the same only as nothing."""
    if one is None or other is None:
        return one is other
    return (one.rates, one.tiers, one.variants) == (other.rates, other.tiers, other.variants)


def effective(rows: Iterable[Price]) -> tuple[Price, ...]:
    """The rows that hold at some time, by start: at most one a start. `rows` are in the order they were added in."""
    latest = {price.starts_at: price for price in rows}
    return tuple(latest[starts_at] for starts_at in sorted(latest))


def _in_order(rates: Rates) -> dict[str, Decimal]:
    return {name: Decimal(plain(rates[name])) for name in sorted(rates)}


def _variants(variants: Mapping[str, Rates]) -> dict[str, dict[str, Decimal]]:
    return {name: _in_order(variants[name]) for name in sorted(variants)}


def _texts(rates: Rates) -> dict[str, str]:
    return {name: plain(rate) for name, rate in rates.items()}


def _decimals(texts: dict[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(texts[name]) for name in sorted(texts)}
