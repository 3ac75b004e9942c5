"""Source `packaged`: the price data installed with us (`genai-prices`), so that there are true prices without a network.

Read through the package's own API: its `get_prices` decides which of its conditions hold at an instant, at an hour and
for a service tier; here its answers are only put into our words. A test compares costs with its `calc_price`.

Its names: `…_mtok` are prices per million tokens and become rates of our buckets. Every other unit becomes a rate per
one of it, under the package's own name for what is counted (`web_searches`, `input_audio_seconds` …), `requests` as
`request`. Spellings that are patterns are left out: only a plain one is a name. What has no name that its provider takes
(a family of fine-tunes) is no model. A package's provider that serves through a router is a part of that router's type,
and its models have the router's name for it behind theirs (`…:cerebras` at Hugging Face).

What the package does not say (the longest output, what a model can do, when it ends) comes from `facts.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType
from typing import Any

from common.http.fetch import SourceUnreadable
from common.providers.registry import PROVIDERS
from genai_prices import data_snapshot
from genai_prices.data_units import unit_data
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from catalog_sync.domain.capabilities import capabilities_of
from catalog_sync.domain.listing import ListedModel, ListedPrice, Quote, Quotes
from catalog_sync.domain.models import Facts
from catalog_sync.domain.vetting import PACKAGED, Standing
from catalog_sync.sources.facts import KnownFacts, read_facts

_SERVICE_TIER = "service_tier"
_SMALLEST_RATE = Decimal(1).scaleb(-18)  # a rate per second can be endless as a decimal

_BUCKETS: Mapping[str, str] = MappingProxyType(
    {
        "input_mtok": "input_tokens",
        "input_text_mtok": "input_tokens",
        "cache_read_mtok": "cached_input_tokens",
        "cache_text_read_mtok": "cached_input_tokens",
        "cache_write_mtok": "cache_write_5m_tokens",
        "cache_write_5m_mtok": "cache_write_5m_tokens",
        "cache_write_1h_mtok": "cache_write_1h_tokens",
        "output_mtok": "output_tokens",
        "output_text_mtok": "output_tokens",
        "output_reasoning_mtok": "reasoning_tokens",
        "input_audio_mtok": "audio_input_tokens",
        "output_audio_mtok": "audio_output_tokens",
    }
)
"""Prices per million tokens of our buckets; where two lead to one bucket the later, narrower one holds."""


_ONLY_LISTED: Mapping[str, str] = MappingProxyType(
    {
        "anthropic": "anthropic",
        "arcee": "arcee",
        "avian": "avian",
        "azure": "azure",
        "baseten": "baseten",
        "bedrock": "aws",
        "cerebras": "cerebras",
        "cloudflare": "cloudflare",
        "cohere": "cohere",
        "databricks": "databricks",
        "doubleword": "doubleword",
        "elevenlabs": "elevenlabs",
        "fireworks": "fireworks",
        "google": "google",
        "meta": "meta",
        "minimax": "minimax",
        "modal": "modal",
        "moonshot": "moonshotai",
        "novita": "novita",
        "ovhcloud": "ovhcloud",
        "perplexity": "perplexity",
        "voyage": "voyageai",
        "xai": "x-ai",
        "zai": "zai",
        "zhipu": "zhipuai",
    }
)
"""The package's name of a type that the registry has no row of, or none that names the package's provider."""

_SPELLINGS: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {("openai", "moderation"): ("omni-moderation-latest", "text-moderation-latest", "text-moderation-stable")}
)
"""Names that the package knows by a pattern only, and that clients call by default."""

_GIVEN_AWAY = frozenset({("openai", "moderation")})
"""What its provider asks nothing for, which the package says by saying nothing."""

_ROUTED_PREFIX, _ROUTER = "huggingface_", "huggingface"


_FREE = ListedPrice(None, ({"input_tokens": Quote(Decimal(0)), "output_tokens": Quote(Decimal(0))},), {})


@dataclass(frozen=True, slots=True)
class Part:
    """One of the package's providers: whose models they are for us, and what stands behind their names."""

    provider_type: str
    package_id: str
    suffix: str = ""


def parts(package_ids: Iterable[str]) -> tuple[Part, ...]:
    """Which of the package's providers (by id) are models of which of our types."""
    present = set(package_ids)
    own = {kind: package_id for kind, package_id in _ONLY_LISTED.items() if package_id in present}
    own |= {row.type: row.genai_prices_id for row in PROVIDERS.values() if row.genai_prices_id in present}
    routed = sorted(each for each in present if each.startswith(_ROUTED_PREFIX))
    return (
        *(Part(kind, package_id) for kind, package_id in own.items()),
        *(Part(_ROUTER, each, f":{each.removeprefix(_ROUTED_PREFIX)}") for each in routed),
    )


class PackagedSource:
    """Reads the installed package; there is no network in it."""

    name = PACKAGED
    standing: Standing = "vouched"

    async def read(self) -> tuple[ListedModel, ...]:
        """Every model of every type that is listed; SourceUnreadable when the package is not as we know it."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[ListedModel, ...]:
        try:
            providers = {provider.id: provider for provider in data_snapshot.get_snapshot().providers}
            facts = read_facts()
            return tuple(
                listed for part in parts(providers) for listed in list_models(part, providers[part.package_id], facts)
            )
        except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
            raise SourceUnreadable(f"the packaged prices cannot be read: {type(error).__name__}") from error


def list_models(part: Part, provider: Provider, known: KnownFacts) -> Iterator[ListedModel]:
    """The models of one provider; `known` completes what the package does not say."""
    for model in provider.models:
        equals = (*_plain_names(model.match), *_SPELLINGS.get((part.provider_type, model.id), ()))
        name = model.id if model.is_match(model.id) else next(iter(equals), None)
        if name is not None:
            known_facts = known.of(part.provider_type, (name, *equals))
            yield ListedModel(
                Facts(
                    provider_type=part.provider_type,
                    name=name + part.suffix,
                    display_name=model.name or model.id,
                    description=model.description or "",
                    names=tuple(one + part.suffix for one in equals),
                    context_length=model.context_window or known_facts.context_length,
                    max_output_tokens=known_facts.max_output_tokens,
                    capabilities=known_facts.capabilities or capabilities_of(name),
                ),
                (_FREE,) if (part.provider_type, model.id) in _GIVEN_AWAY else tuple(_schedule(model)),
                bool(model.deprecated),
                known_facts.ends_at,
            )


def _plain_names(clause: Any) -> Iterator[str]:
    if isinstance(clause, ClauseEquals):
        yield clause.equals
    elif isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _plain_names(part)


def _schedule(model: ModelInfo) -> Iterator[ListedPrice]:
    """One entry for each day on which something of the model's price begins, with what held before first."""
    constraints = list(_constraints(model))
    hours = sorted({time(0)} | {hour for one in constraints for hour in _hours(one)})
    days = sorted({one.start_date for one in constraints if isinstance(one, StartDateConstraint)})
    tiers = sorted({one.when[_SERVICE_TIER] for one in model.price_variants or () if _SERVICE_TIER in one.when})
    for day in (None, *days):
        yield ListedPrice(
            starts_at=None if day is None else datetime.combine(day, time(0), UTC),
            by_hour=_by_hour(model, day, hours, None),
            by_service_tier={tier: _by_hour(model, day, hours, {_SERVICE_TIER: tier}) for tier in tiers},
        )


def _constraints(model: ModelInfo) -> Iterator[StartDateConstraint | TimeOfDateConstraint]:
    conditional = model.prices if isinstance(model.prices, list) else ()
    for one in (*conditional, *(model.price_variants or ())):
        if one.constraint is not None:
            yield one.constraint


def _hours(constraint: StartDateConstraint | TimeOfDateConstraint) -> Iterator[time]:
    """The times of day (UTC) at which something changes."""
    if isinstance(constraint, TimeOfDateConstraint):
        for moment in (constraint.start_time, constraint.end_time):
            aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            yield datetime.combine(date(1970, 1, 2), aware).astimezone(UTC).time()


def _by_hour(
    model: ModelInfo, day: date | None, hours: Iterable[time], context: Mapping[str, str] | None
) -> tuple[Quotes, ...]:
    found: list[Quotes] = []
    for hour in hours:
        quotes = _quotes(model.get_prices(datetime.combine(day or date(1970, 1, 1), hour, UTC), context))
        if quotes not in found:
            found.append(quotes)
    return tuple(found)


def _quotes(prices: ModelPrice) -> Quotes:
    """The package's prices as quotes under our names."""
    stated = {key: value for key, value in vars(prices).items() if value is not None and not key.startswith("_")}
    quotes = {bucket: _quote(stated.pop(key), Decimal(1)) for key, bucket in _BUCKETS.items() if key in stated}
    units = {str(unit.get("price_key", name)): (name, Decimal(unit["per"])) for name, unit in unit_data.items()}
    for key, value in stated.items():
        name, per = units[key]
        quotes["request" if name == "requests" else name] = _quote(value, per)
    return quotes


def _quote(value: Decimal | TieredPrices, per: Decimal) -> Quote:
    if isinstance(value, TieredPrices):
        return Quote(_rate(value.base, per), tuple((tier.start, _rate(tier.price, per)) for tier in value.tiers))
    return Quote(_rate(value, per))


def _rate(price: Decimal, per: Decimal) -> Decimal:
    if not price.is_finite() or price < 0:
        raise ValueError("a price is a finite number that is not negative")
    rate = price / per
    return rate if per == 1 else rate.quantize(_SMALLEST_RATE, ROUND_HALF_EVEN)
