"""What usage costs: the one function that prices.

Cost is computed once, by the gateway, with `cost`; everybody else adds up what it said. `upper_bound` says what a call
can cost at most, before it is made. Rates are US dollars per million tokens (per one for units), as exact decimals.

A price is a dated row: it holds from `starts_at` until the next row of the same model starts, and is never edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from common.money import nano_ceiling, plain
from common.usage import TOKEN_BUCKETS, Usage

_MILLION = Decimal(1_000_000)
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = Decimal(0)
_EXACT = Context(prec=60)  # more digits than tokens × rate can need, so that nothing is ever rounded

# Where a price names no rate for a bucket, the bucket costs what its broader kind costs.
_BROADER: Mapping[str, str] = MappingProxyType(
    {
        "cached_input_tokens": "input_tokens",
        "cache_write_5m_tokens": "input_tokens",
        "cache_write_1h_tokens": "cache_write_5m_tokens",
        "audio_input_tokens": "input_tokens",
        "reasoning_tokens": "output_tokens",
        "audio_output_tokens": "output_tokens",
    }
)
# The same for units: one of them costs what one of its broader kind does, be that another unit or a token.
_BROADER_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "input_audio_seconds": "audio_seconds",
        "output_audio_seconds": "audio_seconds",
        "input_image_tokens": "input_tokens",
        "output_image_tokens": "output_tokens",
    }
)
_INPUT_BUCKETS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
)
_OUTPUT_BUCKETS = ("output_tokens", "reasoning_tokens", "audio_output_tokens")
_DRAWN = "output_image_tokens"
"""A unit, and bounded like output: a chat may be answered in pictures."""

_buckets_of: Callable[[Usage], tuple[int, ...]] = attrgetter(*TOKEN_BUCKETS)

Rates = Mapping[str, Decimal]
"""US dollars per million tokens of a bucket, or per one of a unit, by bucket or unit name."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates that replace the ordinary ones for the whole call once its input passes a number of tokens; `variants`
    likewise replace those of the price."""

    above_input_tokens: int
    rates: Rates
    variants: Mapping[str, Rates] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The dearest that a price can be, in whole nano-USD: per million input or output tokens, those of pictures that are
    made among the latter, and per request."""

    input_nano: int
    output_nano: int
    request_nano: int


@dataclass(frozen=True, slots=True)
class Price:
    """One dated price of one model. `variants` holds the rates of service tiers (`priority`, `flex` …)."""

    version: str
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    variants: Mapping[str, Rates] = field(default_factory=lambda: MappingProxyType({}))
    starts_at: datetime = _ALWAYS
    is_fallback: bool = False
    ceiling: Ceiling = field(init=False, repr=False, compare=False)
    as_event: Mapping[str, Any] = field(init=False, repr=False, compare=False)
    """The `price` object of a usage event."""

    def __post_init__(self) -> None:
        # Worked out once a price, since every call asks for them.
        object.__setattr__(self, "ceiling", _ceiling(self))
        object.__setattr__(self, "as_event", _event(self))


def cost(usage: Usage, price: Price, service_tier: str | None = None) -> Decimal:
    """US dollars that this usage costs at this price, exact (no rounding anywhere)."""
    rates = _rates_for(price, usage.prompt_tokens, service_tier)
    total = _ZERO
    for bucket, tokens in zip(TOKEN_BUCKETS, _buckets_of(usage), strict=True):
        if tokens:
            total = _EXACT.fma(tokens, _rate(rates, bucket), total)
    total = _EXACT.divide(total, _MILLION)
    for unit, count in usage.units.items():
        total = _EXACT.fma(count, _unit_rate(rates, unit), total)
    return _EXACT.add(total, rates.get("request", _ZERO))


def upper_bound_nano(price: Price, input_tokens: int, output_tokens: int) -> int:
    """Nano-USD that a call with at most so many input and output tokens can cost at most.

    Takes the dearest input and output rate over all buckets, tiers and variants, since what the provider will count
    as cached, written or reasoned is not known yet.
    """
    top = price.ceiling
    return -(-(input_tokens * top.input_nano + output_tokens * top.output_nano) // 1_000_000) + top.request_nano


def units_bound_nano(price: Price, units: Mapping[str, int]) -> int:
    """Nano-USD that so many of these units can cost at most, over all tiers and variants."""
    return sum(
        nano_ceiling(_EXACT.multiply(count, max(_unit_rate(rates, unit) for rates in _every_rates(price))))
        for unit, count in units.items()
    )


def in_force(prices: Sequence[Price], at: datetime) -> Price | None:
    """The row that holds at an instant: the latest that has started; None when there is none."""
    if len(prices) == 1 and prices[0].starts_at <= at:
        return prices[0]
    started: Iterable[Price] = (price for price in prices if price.starts_at <= at)
    return max(started, key=lambda price: price.starts_at, default=None)


def _event(price: Price) -> dict[str, Any]:
    return {
        "version": price.version,
        "rates": {unit: plain(rate) for unit, rate in price.rates.items()},
        "is_fallback": price.is_fallback,
    }


def _rates_for(price: Price, prompt_tokens: int, service_tier: str | None) -> Rates:
    rates, variants, reached = price.rates, price.variants, -1
    for tier in price.tiers:
        if prompt_tokens > tier.above_input_tokens > reached:
            rates, variants, reached = tier.rates, {**price.variants, **tier.variants}, tier.above_input_tokens
    return rates if service_tier is None else variants.get(service_tier, rates)


def _rate(rates: Rates, bucket: str) -> Decimal:
    while bucket not in rates:
        if bucket not in _BROADER:
            return Decimal(0)
        bucket = _BROADER[bucket]
    return rates[bucket]


def _unit_rate(rates: Rates, unit: str) -> Decimal:
    """US dollars for one of a unit."""
    if unit in rates:
        return rates[unit]
    broader = _BROADER_UNITS.get(unit, "")
    return _EXACT.divide(_rate(rates, broader), _MILLION) if broader in TOKEN_BUCKETS else rates.get(broader, _ZERO)


def _every_rates(price: Price) -> list[Rates]:
    every = [price.rates, *price.variants.values()]
    for tier in price.tiers:
        every += [tier.rates, *tier.variants.values()]
    return every


def _ceiling(price: Price) -> Ceiling:
    every = _every_rates(price)
    return Ceiling(
        input_nano=nano_ceiling(max(_rate(rates, bucket) for rates in every for bucket in _INPUT_BUCKETS)),
        output_nano=nano_ceiling(max(_dearest_output(rates) for rates in every)),
        request_nano=nano_ceiling(max(rates.get("request", _ZERO) for rates in every)),
    )


def _dearest_output(rates: Rates) -> Decimal:
    """US dollars for a million output tokens of the dearest kind."""
    drawn = _EXACT.multiply(rates.get(_DRAWN, _ZERO), _MILLION)
    return max(drawn, *(_rate(rates, bucket) for bucket in _OUTPUT_BUCKETS))


FALLBACK = Price(
    version="fallback",
    rates=MappingProxyType({"input_tokens": Decimal("0.50"), "output_tokens": Decimal("1.50")}),
    is_fallback=True,
)
"""What a model without a price is charged at: never zero, and the event says so."""
