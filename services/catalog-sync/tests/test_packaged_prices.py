"""The packaged prices, compared with what the package itself says a call costs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from catalog_sync.domain.normalise import SourcedModel, normalise
from catalog_sync.domain.prices import ALWAYS
from catalog_sync.sources import packaged
from catalog_sync.sources.packaged import PackagedSource
from common.http.fetch import SourceUnreadable
from common.pricing import Price, cost, in_force, upper_bound_nano
from common.providers.registry import PROVIDERS
from common.usage import TOKEN_BUCKETS, Usage
from genai_prices import calc_price, data_snapshot
from genai_prices import types as genai
from genai_prices.data_units import unit_data

Models = Mapping[tuple[str, str], SourcedModel]

# fmt: off
WELL_KNOWN = {
    "openai": [
        "gpt-3.5-turbo", "gpt-4", "gpt-4-turbo", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o",
        "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5.1", "gpt-5.4", "gpt-5.6-sol",
        "gpt-6-sol", "o1", "o3", "o3-mini", "o4-mini", "text-embedding-3-small", "text-embedding-3-large",
        "gpt-audio"
    ],
    "groq": ["llama-3.1-8b-instant", "llama-3.3-70b-versatile", "openai/gpt-oss-120b", "qwen/qwen3-32b"],
    "together": ["meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"],
    "mistral": [
        "codestral-latest",
        "mistral-small-latest",
        "mistral-large-2512",
        "ministral-8b-latest",
        "mistral-nemo",
    ],
    "openrouter": [
        "anthropic/claude-3-haiku", "anthropic/claude-3.5-sonnet", "anthropic/claude-3.7-sonnet",
        "anthropic/claude-haiku-5.5", "google/gemini-2.5-flash", "google/gemini-2.5-pro",
        "cohere/command-a", "deepseek/deepseek-v3.2", "perplexity/sonar-deep-research",
        "meta-llama/llama-3.1-70b-instruct"
    ],
    "deepseek": ["deepseek-v3.2", "deepseek-v3.2-exp", "deepseek-v3.1-terminus"],
}
# fmt: on

USAGES = (
    Usage(),
    Usage(input_tokens=1000, output_tokens=500),
    Usage(input_tokens=700, cached_input_tokens=300, cache_write_5m_tokens=200, output_tokens=90),
    Usage(input_tokens=10, cache_write_1h_tokens=400, output_tokens=90, reasoning_tokens=800),
    Usage(input_tokens=260_000, cached_input_tokens=40_000, output_tokens=3_000),
    Usage(input_tokens=100_000, output_tokens=1),
    Usage(input_tokens=200_000),
    Usage(input_tokens=200_001),
)
WITH_AUDIO = Usage(input_tokens=50, audio_input_tokens=700, output_tokens=20, audio_output_tokens=300)
DATES = (
    datetime(2023, 5, 1, 12, tzinfo=UTC),
    datetime(2025, 9, 30, 23, 59, tzinfo=UTC),
    datetime(2026, 8, 17, tzinfo=UTC),
    datetime(2026, 10, 11, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 10, 12, tzinfo=UTC),
    datetime(2026, 11, 21, 8, 30, tzinfo=UTC),
)
PARTS = packaged.parts(provider.id for provider in data_snapshot.get_snapshot().providers)
SERVICE_TIERS = (None, "default", "flex", "priority", "fast")


@pytest.fixture(scope="module")
async def models() -> Models:
    listed = await PackagedSource().read()
    return {(one.facts.provider_type, one.facts.name): one for one in normalise(listed)}


def theirs(usage: Usage) -> genai.Usage:
    """The same usage as the package counts it: totals that include their parts."""
    return genai.Usage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.audio_input_tokens,
        cache_audio_read_tokens=0,
        output_tokens=usage.completion_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        output_audio_tokens=usage.audio_output_tokens,
        web_searches=usage.units.get("web_searches", 0),
    )


def oracle(model: SourcedModel, usage: Usage, at: datetime, service_tier: str | None) -> Decimal:
    """What the package says that the call costs."""
    part, name = part_of(model)
    calculated = calc_price(
        theirs(usage),
        name,
        provider_id=part.package_id,
        genai_request_timestamp=at,
        price_context={"service_tier": service_tier} if service_tier else None,
    )
    return calculated.total_price


def part_of(model: SourcedModel) -> tuple[packaged.Part, str]:
    """Which of the package's providers a model is of, and its name there."""
    name = model.facts.name
    for part in sorted(PARTS, key=lambda part: -len(part.suffix)):
        if part.provider_type == model.facts.provider_type and name.endswith(part.suffix):
            return part, name.removesuffix(part.suffix)
    raise AssertionError(f"no part of the package has {model.facts}")


def price_at(model: SourcedModel, at: datetime) -> Price:
    price = in_force(model.prices, at)
    assert price is not None
    return price


def test_well_known_models_cost_what_the_package_says_at_every_date_and_service_tier(models: Models) -> None:
    known = [models[provider, name] for provider, names in WELL_KNOWN.items() for name in names]
    assert len(known) >= 40
    for model in known:
        for at in DATES:
            for tier in SERVICE_TIERS:
                for usage in USAGES:
                    said = cost(usage, price_at(model, at), tier)
                    assert said == oracle(model, usage, at, tier), (model.facts.name, at, tier, usage)


def test_every_model_that_has_a_price_costs_what_the_package_says(models: Models) -> None:
    compared = 0
    for model in models.values():
        if not model.prices or _depends_on_the_hour(model):
            continue
        for at in (DATES[0], DATES[-1]):
            for usage in (USAGES[1], USAGES[4]):
                said = cost(usage, price_at(model, at))
                assert said == oracle(model, usage, at, None), (model.facts, at, usage)
                compared += 1
    assert compared > 4 * 1000


def test_audio_tokens_cost_what_the_package_says(models: Models) -> None:
    for name in ("gpt-audio", "gpt-audio-mini", "gpt-realtime", "gpt-4o-transcribe", "gpt-4o"):
        model = models["openai", name]
        assert cost(WITH_AUDIO, price_at(model, DATES[-1])) == oracle(model, WITH_AUDIO, DATES[-1], None), name


def test_units_that_are_no_tokens_cost_what_the_package_says(models: Models) -> None:
    model = models["openai", "gpt-4o"]
    usage = Usage(input_tokens=1000, output_tokens=10, units={"web_searches": 3})
    assert cost(usage, price_at(model, DATES[-1])) == oracle(model, usage, DATES[-1], None)
    assert price_at(models["openai", "whisper-1"], DATES[-1]).rates["audio_seconds"] == Decimal("0.36") / 3600


def test_moderation_at_openai_is_free_under_the_names_that_clients_call(models: Models) -> None:
    model = models["openai", "moderation"]
    assert "omni-moderation-latest" in model.facts.names
    assert cost(Usage(input_tokens=10**6), price_at(model, DATES[-1])) == 0


def test_a_price_that_depends_on_the_hour_is_the_dearest_of_the_day(models: Models) -> None:
    by_hour = [model for model in models.values() if model.prices and _depends_on_the_hour(model)]
    assert "deepseek" in {model.facts.provider_type for model in by_hour}
    for model in by_hour:
        for usage in (USAGES[1], USAGES[2]):
            day = [oracle(model, usage, DATES[-1].replace(hour=hour), None) for hour in range(24)]
            assert cost(usage, price_at(model, DATES[-1])) == max(day)


def test_gpt_4_costs_30_and_60_dollars_per_million(models: Models) -> None:
    [price] = models["openai", "gpt-4"].prices
    assert price.rates == {"input_tokens": Decimal(30), "output_tokens": Decimal(60)}
    assert price.starts_at == ALWAYS
    assert models["openai", "gpt-4"].facts.names == ("gpt-4-0314", "gpt-4-0613")


def test_what_a_call_may_cost_at_most_covers_every_threshold_and_service_tier(models: Models) -> None:
    price = price_at(models["openai", "gpt-6-sol"], DATES[-1])
    for tier in SERVICE_TIERS:
        for tokens in (1_000, 272_001):
            usage = Usage(input_tokens=tokens, output_tokens=700)
            assert cost(usage, price, tier) * 10**9 <= upper_bound_nano(price, tokens, 700)


def test_a_model_that_is_free_by_name_costs_nothing_and_another_without_price_has_none(models: Models) -> None:
    unpriced = {name for (_, name), model in models.items() if not model.prices}
    assert not any(name.endswith(":free") for name in unpriced)
    assert "stealth/crouton-alpha" in unpriced
    free = price_at(models["openrouter", "deepseek/deepseek-r1:free"], DATES[-1])
    assert cost(USAGES[1], free) == 0


def test_at_least_1000_models_of_15_providers_are_listed_with_names_that_are_unique(models: Models) -> None:
    assert len(models) >= 1000
    assert len({provider for provider, _ in models}) >= 15
    assert {provider for provider, _ in models} >= {row.type for row in PROVIDERS.values() if row.genai_prices_id}
    spelled = [(p, name) for (p, _), model in models.items() for name in (model.facts.name, *model.facts.names)]
    assert len(spelled) == len(set(spelled))


def test_every_unit_of_the_package_has_a_name_of_ours(models: Models) -> None:
    keys = {unit.get("price_key", name) for name, unit in unit_data.items()}
    quoted = packaged._quotes(genai.ModelPrice(**dict.fromkeys(keys, Decimal(1))))
    others = {name for name, unit in unit_data.items() if unit.get("price_key", name) not in packaged._BUCKETS}
    assert set(quoted) == {*TOKEN_BUCKETS, "request", *others} - {"requests"}
    assert quoted["request"].basis == Decimal("0.001")
    assert quoted["input_tokens"].basis == 1


async def test_a_package_that_is_not_as_we_know_it_is_an_unreadable_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "unit_data", {})
    with pytest.raises(SourceUnreadable):
        await PackagedSource().read()


def _depends_on_the_hour(model: SourcedModel) -> bool:
    usage = USAGES[1]
    return len({oracle(model, usage, DATES[-1] + timedelta(hours=hour), None) for hour in range(0, 24, 2)}) > 1
