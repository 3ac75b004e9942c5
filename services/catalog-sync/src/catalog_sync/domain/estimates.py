"""What calls would cost: a volume of tokens at the prices that hold now. The same `common.pricing.cost` as for a call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from common.pricing import FALLBACK, cost
from common.usage import Usage

from catalog_sync.domain.models import ListedEntry
from catalog_sync.domain.prices import PriceRow

_BYTES_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class PricedEntry:
    """A model of the list with the price row in force; None: it has no price and is charged at the fallback."""

    entry: ListedEntry
    price: PriceRow | None


@dataclass(frozen=True, slots=True)
class Volume:
    """One call's tokens, and how many such calls a month; `is_counted_from_text` when the input is our own count."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    calls_per_month: int | None = None
    is_counted_from_text: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one call, and a month of them, would cost in US dollars at one model."""

    entry: ListedEntry
    volume: Volume
    cost_usd: Decimal
    monthly_cost_usd: Decimal | None
    price_version: str
    is_fallback: bool


def tokens_of(text: str) -> int:
    """About how many tokens a text is: a token for each four bytes, rounded up. Every model counts otherwise."""
    return -(-len(text.encode()) // _BYTES_A_TOKEN)


def estimates(priced: Iterable[PricedEntry], volume: Volume) -> list[Estimate]:
    """What a volume costs at each model, the cheapest first."""
    return sorted((_estimate(one, volume) for one in priced), key=lambda one: (one.cost_usd, one.entry.reference))


def _estimate(one: PricedEntry, volume: Volume) -> Estimate:
    price = one.price.price if one.price else FALLBACK
    usage = Usage(
        input_tokens=volume.input_tokens,
        cached_input_tokens=volume.cached_input_tokens,
        output_tokens=volume.output_tokens,
    )
    of_one = cost(usage, price)
    monthly = None if volume.calls_per_month is None else of_one * volume.calls_per_month
    return Estimate(one.entry, volume, of_one, monthly, price.version, price.is_fallback)
