"""Cost against plain fractions: exact, by the right rates, and never above what was held for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest
from common.money import NANO
from common.pricing import FALLBACK, Price, Rates, Tier, cost, in_force, units_bound_nano, upper_bound_nano
from common.usage import NOTHING, TOKEN_BUCKETS, Usage
from hypothesis import given
from hypothesis import strategies as st

TIER_NAMES = ("priority", "flex")
INPUTS = ("input_tokens", "cached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "audio_input_tokens")
OUTPUTS = ("output_tokens", "reasoning_tokens", "audio_output_tokens")

RATE = st.builds(
    lambda coefficient, places: Decimal(f"{coefficient}e-{places}"), st.integers(0, 10**9), st.integers(0, 14)
)
RATES = st.dictionaries(st.sampled_from([*TOKEN_BUCKETS, "request"]), RATE, max_size=10)
VARIANTS = st.dictionaries(st.sampled_from(TIER_NAMES), RATES)
TIERS = st.lists(st.builds(Tier, st.integers(0, 500_000), RATES, VARIANTS), max_size=3).map(tuple)
PRICES = st.builds(Price, st.just("a"), RATES, TIERS, VARIANTS)
TOKENS = st.integers(0, 2_000_000)
USAGES = st.builds(Usage, *[TOKENS] * 8)
SERVICE_TIERS = st.none() | st.sampled_from([*TIER_NAMES, "unheard of"])


def rate_of(rates: Mapping[str, Decimal], bucket: str) -> Fraction:
    """What a bucket costs: its own rate, or that of its broader kind, or nothing."""
    broader = {
        "cached_input_tokens": ("input_tokens",),
        "cache_write_5m_tokens": ("input_tokens",),
        "cache_write_1h_tokens": ("cache_write_5m_tokens", "input_tokens"),
        "audio_input_tokens": ("input_tokens",),
        "reasoning_tokens": ("output_tokens",),
        "audio_output_tokens": ("output_tokens",),
    }
    for name in (bucket, *broader.get(bucket, ())):
        if name in rates:
            return Fraction(rates[name])
    return Fraction(0)


def rates_for(price: Price, prompt_tokens: int, service_tier: str | None) -> Rates:
    """The rates that hold for a call: the highest tier it passes, and there those of its service tier."""
    reached = [tier for tier in price.tiers if prompt_tokens > tier.above_input_tokens]
    tier = max(reached, key=lambda each: each.above_input_tokens, default=None)
    if tier is None:
        return price.rates if service_tier is None else price.variants.get(service_tier, price.rates)
    tier = next(each for each in reached if each.above_input_tokens == tier.above_input_tokens)
    if service_tier is None:
        return tier.rates
    return tier.variants.get(service_tier, price.variants.get(service_tier, tier.rates))


def expected(usage: Usage, rates: Rates) -> Fraction:
    """Cost by plain fractions."""
    tokens = sum((getattr(usage, bucket) * rate_of(rates, bucket) for bucket in TOKEN_BUCKETS), Fraction(0))
    return tokens / 1_000_000 + Fraction(rates.get("request", Decimal(0)))


@given(USAGES, PRICES, SERVICE_TIERS)
def test_cost_is_what_fractions_say_to_the_last_digit(usage: Usage, price: Price, service_tier: str | None) -> None:
    rates = rates_for(price, usage.prompt_tokens, service_tier)
    assert Fraction(cost(usage, price, service_tier)) == expected(usage, rates)


@given(USAGES, PRICES, SERVICE_TIERS)
def test_no_split_tier_or_variant_costs_more_than_the_bound(usage: Usage, price: Price, tier: str | None) -> None:
    bound = upper_bound_nano(price, usage.prompt_tokens, usage.completion_tokens)
    assert Fraction(cost(usage, price, tier)) * NANO <= bound


@pytest.mark.parametrize("where", ["price", "variant", "tier", "variant of a tier"])
@pytest.mark.parametrize("bucket", [*TOKEN_BUCKETS, "request"])
def test_the_dearest_rate_is_found_wherever_it_stands(where: str, bucket: str) -> None:
    cheap, dear = {name: Decimal(1) for name in (*TOKEN_BUCKETS, "request")}, Decimal(1000)
    price = Price(
        "a",
        cheap | ({bucket: dear} if where == "price" else {}),
        (
            Tier(
                0,
                cheap | ({bucket: dear} if where == "tier" else {}),
                {"flex": cheap | ({bucket: dear} if where == "variant of a tier" else {})},
            ),
        ),
        {"priority": cheap | ({bucket: dear} if where == "variant" else {})},
    )
    tokens: dict[str, Any] = {} if bucket == "request" else {bucket: 10**6}
    usage = Usage(**tokens)
    assert upper_bound_nano(price, usage.prompt_tokens, usage.completion_tokens) >= 1000 * NANO


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_output_in_pictures_costs_no_more_than_the_bound_of_so_many_tokens(said: int, drawn: int) -> None:
    price = Price("p", {"output_tokens": Decimal("2.5"), "output_image_tokens": Decimal("0.00003")})
    usage = Usage(output_tokens=said, units={"output_image_tokens": drawn})
    assert cost(usage, price) * NANO <= upper_bound_nano(price, 0, said + drawn)
    assert usage.as_openai()["completion_tokens"] == said + drawn


@given(PRICES, TOKENS, TOKENS, st.integers(0, 1000), st.integers(0, 1000))
def test_more_tokens_never_lower_the_bound(
    price: Price, given_in: int, given_out: int, more_in: int, more_out: int
) -> None:
    bound = upper_bound_nano(price, given_in, given_out)
    assert upper_bound_nano(price, given_in + more_in, given_out + more_out) >= bound >= 0


@given(st.lists(st.integers(0, 2000), min_size=5, max_size=5), st.lists(st.integers(0, 2000), min_size=3, max_size=3))
def test_the_bound_of_a_flat_price_is_no_more_than_a_nano_dollar_above_the_cost(
    inputs: list[int], outputs: list[int]
) -> None:
    price = Price("a", {"input_tokens": Decimal("2.5"), "output_tokens": Decimal(10)})
    split: dict[str, Any] = dict(zip((*INPUTS, *OUTPUTS), (*inputs, *outputs), strict=True))
    usage = Usage(**split)
    bound = upper_bound_nano(price, usage.prompt_tokens, usage.completion_tokens)
    assert 0 <= bound - Fraction(cost(usage, price)) * NANO < 1


def test_known_calls_cost_what_the_price_list_says() -> None:
    price = Price(
        "gpt", {"input_tokens": Decimal("2.50"), "cached_input_tokens": Decimal("1.25"), "output_tokens": Decimal(10)}
    )
    usage = Usage(input_tokens=812, cached_input_tokens=1024, output_tokens=200, reasoning_tokens=31)
    assert cost(usage, price) == Decimal("0.00562")
    assert cost(NOTHING, price) == 0


def test_units_cost_by_the_piece_and_unpriced_ones_nothing() -> None:
    price = Price("a", {"images": Decimal("0.04"), "request": Decimal("0.01")})
    assert cost(Usage(units={"images": 3, "seconds": 9}), price) == Decimal("0.13")


def test_a_tier_begins_above_its_number_and_holds_for_the_whole_call() -> None:
    base, dear = {"input_tokens": Decimal(1)}, {"input_tokens": Decimal(2)}
    price = Price("a", base, (Tier(200_000, dear), Tier(300_000, {"input_tokens": Decimal(3)})))
    assert cost(Usage(input_tokens=200_000), price) == Decimal("0.2")
    assert cost(Usage(input_tokens=200_001), price) == Decimal("0.400002")
    assert cost(Usage(input_tokens=150_000, cached_input_tokens=150_001), price) == Decimal("0.900003")


def test_a_service_tier_replaces_the_rates_and_an_unknown_one_does_not() -> None:
    price = Price("a", {"input_tokens": Decimal(1)}, variants={"priority": {"input_tokens": Decimal(2)}})
    usage = Usage(input_tokens=1_000_000)
    assert [cost(usage, price, tier) for tier in (None, "default", "priority")] == [1, 1, 2]


def test_the_order_of_tiers_does_not_matter() -> None:
    tiers = (Tier(10, {"input_tokens": Decimal(2)}), Tier(100, {"input_tokens": Decimal(3)}))
    usage = Usage(input_tokens=1000)
    prices = [Price("a", {"input_tokens": Decimal(1)}, order) for order in (tiers, tiers[::-1])]
    assert {cost(usage, price) for price in prices} == {Decimal("0.003")}


START = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.lists(st.integers(0, 1000), unique=True), st.integers(-10, 1010))
def test_the_price_in_force_is_the_latest_that_has_started(days: list[int], today: int) -> None:
    prices = [Price(str(day), {}, starts_at=START + timedelta(days=day)) for day in days]
    found = in_force(prices, START + timedelta(days=today))
    assert (found and found.version) == (str(max(past)) if (past := [day for day in days if day <= today]) else None)


def test_a_price_holds_from_its_very_first_instant() -> None:
    rows = [Price("old", {}, starts_at=START - timedelta(days=1)), Price("next", {}, starts_at=START)]
    assert in_force(rows, START) is rows[1]
    assert in_force(rows, START - timedelta(microseconds=1)) is rows[0]
    assert in_force(rows[1:], START - timedelta(microseconds=1)) is None


def test_a_model_without_a_price_is_never_free() -> None:
    assert FALLBACK.is_fallback
    for bucket in TOKEN_BUCKETS:
        one: dict[str, Any] = {bucket: 1}
        assert cost(Usage(**one), FALLBACK) > 0


def test_the_rates_of_a_price_are_not_changed_by_pricing() -> None:
    rates = MappingProxyType({"input_tokens": Decimal("0.1")})
    price = Price("a", rates)
    cost(Usage(input_tokens=3), price)
    with pytest.raises(AttributeError):
        price.rates = {}  # type: ignore[misc]


UNITS = ("input_audio_seconds", "input_image_tokens", "output_image_tokens", "images", "rerank_searches")
UNIT_RATES = st.dictionaries(
    st.sampled_from([*UNITS, "audio_seconds", "input_tokens", "output_tokens", "request"]), RATE, max_size=8
)
UNIT_PRICES = st.builds(Price, st.just("a"), UNIT_RATES, st.just(()), st.dictionaries(st.just("flex"), UNIT_RATES))


@given(UNIT_PRICES, st.dictionaries(st.sampled_from(UNITS), st.integers(0, 10**6)), st.sampled_from([None, "flex"]))
def test_units_cost_no_more_than_their_bound(price: Price, units: dict[str, int], service_tier: str | None) -> None:
    most = units_bound_nano(price, units) + upper_bound_nano(price, 0, 0)
    assert cost(Usage(units=units), price, service_tier) * NANO <= most


@pytest.mark.parametrize(
    ("rates", "units", "expected"),
    [
        ({"images": "0.04"}, {"images": 3}, "0.12"),
        ({"audio_seconds": "0.0001", "input_audio_seconds": "0.0001"}, {"input_audio_seconds": 60}, "0.006"),
        ({"audio_seconds": "0.0001"}, {"input_audio_seconds": 60}, "0.006"),
        ({"output_tokens": "30"}, {"output_image_tokens": 1_000}, "0.03"),
        ({"output_tokens": "10", "output_image_tokens": "0.000032"}, {"output_image_tokens": 1_000}, "0.032"),
        ({"input_tokens": "5"}, {"rerank_searches": 2}, "0"),
    ],
)
def test_a_unit_costs_its_own_rate_or_that_of_its_broader_kind(
    rates: dict[str, str], units: dict[str, int], expected: str
) -> None:
    price = Price("a", {name: Decimal(rate) for name, rate in rates.items()})
    assert cost(Usage(units=units), price) == Decimal(expected)
