"""Bounds before a call, charges after it: the bound never lies below the cost, the charge never above the hold."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from common.bounds import DEFAULT_OUTPUT_TOKENS, OPEN_TOKENS, bound, default_output, input_bound
from common.budgets import Budget
from common.money import NANO, nano_ceiling
from common.pricing import FALLBACK, Price, Tier, cost
from common.readings import PICTURE_TOKENS, PLAIN, reading_of
from common.usage import NOTHING, TOKEN_BUCKETS, Usage
from gateway.charging import cap, charge, charge_operator, decision_of, epoch_of, likely_tokens, settlement_of
from gateway.limits.limiter import Admitted
from gateway.limits.packing import Packed
from gateway.limits.terms import Counters
from gateway.metering import AttemptLog
from gateway.mirrors.keys import ApiKey
from hypothesis import given
from hypothesis import strategies as st

INPUT = (*TOKEN_BUCKETS[:4], "audio_input_tokens")
OUTPUT = ("output_tokens", "reasoning_tokens", "audio_output_tokens")
RATE = st.decimals(0, 2000, places=6)
RATES = st.fixed_dictionaries(
    {"input_tokens": RATE, "output_tokens": RATE},
    optional={**dict.fromkeys([*INPUT[1:], *OUTPUT[1:]], RATE), "request": st.decimals(0, 1, places=6)},
)
FLEX = st.dictionaries(st.just("flex"), RATES)
TIERS = st.lists(st.builds(Tier, above_input_tokens=st.integers(0, 300_000), rates=RATES, variants=FLEX), max_size=2)
PRICES = st.builds(
    Price,
    version=st.just("v"),
    rates=RATES,
    tiers=TIERS.map(tuple),
    variants=st.dictionaries(st.just("priority"), RATES),
)
COUNT = st.integers(0, 500_000)
USAGES = st.builds(Usage, **dict.fromkeys((*INPUT, *OUTPUT), COUNT))  # type: ignore[arg-type]
SERVICE_TIERS = st.sampled_from([None, "default", "priority", "flex"])


def worst_of(price: Price, input_tokens: int, output_tokens: int, choices: int = 1) -> int:
    """Nano-USD that a hold of so much has: as `admit.lua` adds it up."""
    worst = bound(price, input_tokens, output_tokens, choices)
    return worst.input_nano - (-output_tokens * worst.nano_per_million_output // 1_000_000)


@given(PRICES, USAGES, SERVICE_TIERS, st.integers(1, 4))
def test_the_bound_is_never_below_the_cost(price: Price, usage: Usage, tier: str | None, choices: int) -> None:
    output = -(-usage.completion_tokens // choices)
    assert worst_of(price, usage.prompt_tokens, output, choices) >= nano_ceiling(cost(usage, price, tier))


@given(PRICES, COUNT, COUNT)
def test_more_tokens_are_never_bounded_by_less(price: Price, fewer: int, more: int) -> None:
    assert worst_of(price, fewer, fewer) <= worst_of(price, fewer + more, fewer + more)


@given(st.integers(0, 10**8), st.integers(0, 50), st.none() | st.integers(1, 2_000_000))
def test_an_input_is_bounded_by_its_bytes_its_pictures_and_the_context(
    size: int, pictures: int, context: int | None
) -> None:
    bounded = input_bound(size, pictures, context)
    assert bounded <= (context or bounded)
    if context is None:
        assert bounded >= size + pictures * PICTURE_TOKENS


@given(st.integers(0, 10**8), st.none() | st.integers(1, 2_000_000))
def test_who_may_read_more_than_the_request_holds_is_bounded_by_the_context_alone(
    size: int, context: int | None
) -> None:
    most = context or OPEN_TOKENS
    assert input_bound(size, 0, context, is_open=True) == most
    assert input_bound(size, 0, context, reading_of("groq/compound")) == most


@pytest.mark.parametrize(
    ("model", "picture", "vocabulary"),
    [
        ("gpt-4o", 1_500, "o200k_base"),
        ("openai/gpt-4o-mini-2024-07-18", 48_200, "o200k_base"),
        ("ft:gpt-4.1-mini:us", 2_500, "o200k_base"),
        ("gpt-5-2025-08-07", 1_500, "o200k_base"),
        ("o3-mini", 1_500, "o200k_base"),
        ("gpt-4-0613", 1_500, "cl100k_base"),
        ("us.anthropic.claude-sonnet-4-5-v1:0", 5_000, None),
        ("gpt-5.2", PICTURE_TOKENS, None),
        ("gpt-4-32k", PICTURE_TOKENS, None),
        ("gemini-2.5-pro", PICTURE_TOKENS, None),
    ],
)
def test_a_family_reads_as_its_maker_says_and_a_stranger_as_dearly_as_any(
    model: str, picture: int, vocabulary: str | None
) -> None:
    reading = reading_of(model)
    assert (reading.picture_tokens, reading.vocabulary) == (picture, vocabulary)
    assert reading.picture_tokens <= PLAIN.picture_tokens


MAYBE = st.none() | st.integers(1, 10**6)


@given(st.integers(0, 10**7), MAYBE, MAYBE, st.none() | st.integers(-99, 10**6))
def test_an_open_output_is_bounded_by_all_there_is(
    size: int, most: int | None, context: int | None, minute: int | None
) -> None:
    output = default_output(size, most, context, minute)
    assert 1 <= output <= min(DEFAULT_OUTPUT_TOKENS, most or DEFAULT_OUTPUT_TOKENS)
    if context is not None:
        assert output <= max(16, context)
    if minute is not None:
        assert output <= max(16, minute)


def attempt(price: Price, held_nano: int, **changes: Any) -> AttemptLog:
    """An attempt that holds so much."""
    return AttemptLog(
        number=1, provider_type="openai", provider_id="openai", model="m", credential_id="c", price=price,
        held_nano=held_nano, budgets=("key:key-1:2026-11",), epoch="e1", **changes,
    )  # fmt: skip


@given(PRICES, USAGES, SERVICE_TIERS, st.integers(0, 10**12))
def test_nobody_is_charged_more_than_was_held_and_the_rest_is_the_operator_s(
    price: Price, usage: Usage, tier: str | None, held: int
) -> None:
    charged = attempt(price, held, usage=usage, service_tier=tier)
    charge(charged)
    owed = cost(usage, price, tier)
    assert nano_ceiling(charged.cost) <= held
    assert charged.cost + charged.operator_cost == owed
    assert charged.operator_cost >= 0
    if nano_ceiling(owed) <= held:
        assert charged.cost == owed
    settlement = settlement_of("r", charged, "e1")
    assert Decimal(settlement.cost_nano) / NANO - charged.cost < Decimal(1) / NANO
    assert settlement.tokens == usage.total_tokens


@given(PRICES, USAGES)
def test_a_failed_attempt_without_a_report_costs_the_operator_alone(price: Price, usage: Usage) -> None:
    failed = attempt(price, 10**12)
    charge_operator(failed, usage)
    assert failed.cost == 0
    assert failed.operator_cost == cost(usage, price)
    assert settlement_of("r", failed, "e1").cost_nano == 0
    assert settlement_of("r", failed, "e1").tokens == NOTHING.total_tokens


def test_a_raw_report_without_end_is_not_kept() -> None:
    free = Price(version="v", rates={})
    for raw, kept in (({"x": "y" * 100}, True), ({"x": "y" * 10_000}, False), ({"x": 10**400}, True)):
        charged = attempt(free, 0, usage=NOTHING, raw_usage=raw)
        charge(charged)
        assert (charged.raw_usage == raw) is kept


def test_tokens_of_a_text_are_guessed_upwards() -> None:
    assert [likely_tokens(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]


def admitted(**changes: Any) -> Admitted:
    """An attempt that was let through, counted in its key's month and its team's day."""
    team = Budget("b-1", "team:t-1", "daily", "UTC", "hard", 3 * NANO)
    counters = Counters(
        "2026-11", 0, 1, ("key:key-1:2026-11", "team:t-1:2026-11-21"), (None, team), (), "", Packed(0, b"")
    )
    given: dict[str, Any] = {
        "epoch": "e1", "output_tokens": 8, "held_nano": 1_500_000_000, "rate_limit": 100, "rate_remaining": 7,
        "token_limit": 0, "token_remaining": -1, "counted": ((5, 6), (NANO, 0)), "counters": counters,
    }  # fmt: skip
    return Admitted(**{**given, **changes})


def test_a_decision_tells_only_of_limits_that_there_are() -> None:
    key = ApiKey("key-1", None, None, None, True, 100, 0, 0, 10 * NANO, None, None)
    assert decision_of(key, admitted()) == {
        "bound_usd": "1.5",
        "budget_usd": "10",
        "spent_before_usd": "0.000000005",
        "rate_limit": 100,
        "rate_remaining": 7,
        "budgets": [{"counter": "team:t-1:2026-11-21", "limit_usd": "3", "spent_usd": "1", "held_usd": "0"}],
    }
    free = ApiKey("key-1", None, None, None, True, 0, 0, 0, -1, None, None)
    told = decision_of(free, admitted(rate_limit=0, rate_remaining=-1))
    assert {told[name] for name in ("budget_usd", "spent_before_usd", "rate_limit", "rate_remaining")} == {None}


def test_what_is_not_covered_any_more_is_the_operator_s_overrun() -> None:
    reaped = attempt(FALLBACK, 10**9, cost=Decimal("0.5"), operator_cost=Decimal("0.1"))
    cap(reaped, 200_000_000)
    assert (reaped.cost, reaped.operator_cost, reaped.overrun) == (Decimal("0.2"), Decimal("0.4"), Decimal("0.3"))
    cap(reaped, 200_000_000)
    assert reaped.overrun == Decimal("0.3")


def test_an_event_names_the_epoch_of_its_first_cost() -> None:
    first, last = attempt(FALLBACK, 1), attempt(FALLBACK, 1)
    last.epoch = "e2"
    assert epoch_of([first, last]) == "e2"
    first.cost = Decimal("0.1")
    assert epoch_of([first, last]) == "e1"


def test_a_price_holds_from_its_start() -> None:
    assert Price(version="v", rates={}, starts_at=datetime(2026, 1, 1, tzinfo=UTC)).ceiling.output_nano == 0
