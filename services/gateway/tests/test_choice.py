"""Which deployment a call tries first, which rest, and how many second tries there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from common.pricing import Price
from common.providers.registry import PROVIDERS
from common.secret import Secret
from gateway.mirrors.catalog import Model
from gateway.mirrors.usable import Credential
from gateway.providers.errors import FailureClass, ProviderFailed
from gateway.routing.choice import ordered
from gateway.routing.health import MOST_DEPLOYMENTS, NOTHING_LEFT, Health
from gateway.routing.plan import Deployment, Plan
from gateway.upstream.client import Origin
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 20, tzinfo=UTC)


class Time:
    """A monotonic clock that a test moves."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def health(time: Time) -> Health:
    return Health(time)


def deployment(name: str, *, usd: str = "1", priority: int = 0, weight: int = 1, is_own: bool = False) -> Deployment:
    """A deployment of this name."""
    price = Price("v", {"input_tokens": Decimal(usd), "output_tokens": Decimal(usd)})
    model = Model(name, "openai", name, None, None, frozenset(), (price,), 0)
    credential = Credential("c", "openai", 1, Secret("s"), None, on_simulator=False)
    if is_own:
        credential = replace(credential, owner_user_id="user-1")
    origin = Origin("https", "example.com", 443)
    return Deployment(
        PROVIDERS["openai"], "p", model, name, credential, origin, b"", b"", priority=priority, weight=weight
    )


def plan(*deployments: Deployment, strategy: str = "priority") -> Plan:
    """A plan of an alias."""
    return Plan("alias", "alias", deployments, strategy=strategy)


def names(chosen: Plan) -> list[str]:
    """The order, by name."""
    return [one.model_name for one in chosen.deployments]


def order(given_plan: Plan, health: Health, sticky: bytes | None = None, draw: Any = None) -> list[str]:
    """The order in which a call tries them."""
    return names(ordered(given_plan, health, NOW, sticky, draw or Random(1).random))


def failure(kind: FailureClass = "unavailable", retry_after_ms: int | None = None) -> ProviderFailed:
    """A failure of this class."""
    return ProviderFailed(kind, "no", retry_after_ms=retry_after_ms)


def test_priority_keeps_the_plans_order(health: Health) -> None:
    given_plan = plan(deployment("a"), deployment("b", weight=9))
    assert ordered(given_plan, health, NOW, None, Random(1).random) is given_plan


def test_weights_are_shares_within_a_priority(health: Health) -> None:
    given_plan = plan(
        deployment("a", weight=3),
        deployment("b", weight=1),
        deployment("idle", weight=0),
        deployment("spare", priority=1),
        strategy="weighted",
    )
    draw = Random(5).random
    orders = [order(given_plan, health, draw=draw) for _ in range(4000)]
    assert {tuple(one[2:]) for one in orders} == {("idle", "spare")}
    assert Counter(one[0] for one in orders)["a"] == pytest.approx(3000, abs=120)


def test_a_conversation_stays_where_it_is_and_conversations_are_shared_out(health: Health) -> None:
    given_plan = plan(deployment("a"), deployment("b"), deployment("c"), strategy="sticky")
    first = {key: order(given_plan, health, b"%d" % key)[0] for key in range(300)}
    assert first == {key: order(given_plan, health, b"%d" % key)[0] for key in range(300)}
    assert min(Counter(first.values()).values()) > 70
    without_c = plan(*given_plan.deployments[:2], strategy="sticky")
    moved = [key for key in first if order(without_c, health, b"%d" % key)[0] != first[key]]
    assert {first[key] for key in moved} == {"c"}  # who was not with the one that left stays where they are


def test_the_cheapest_and_the_fastest_go_first(health: Health, time: Time) -> None:
    assert order(plan(deployment("a", usd="3"), deployment("b", usd="2"), strategy="lowest_cost"), health) == ["b", "a"]
    given_plan = plan(deployment("a"), deployment("b"), deployment("new"), strategy="lowest_latency")
    for one, latency in zip(given_plan.deployments, (300.0, 200.0), strict=False):
        health.began_to_answer(one, time() - latency / 1000)
    assert order(given_plan, health) == ["new", "b", "a"]
    for _ in range(20):
        health.began_to_answer(given_plan.deployments[1], time() - 0.9)
    assert order(given_plan, health) == ["new", "a", "b"]


@pytest.mark.parametrize("strategy", ["priority", "weighted", "sticky", "lowest_latency", "lowest_cost"])
def test_who_rests_comes_last_whatever_its_priority(health: Health, time: Time, strategy: str) -> None:
    given_plan = plan(deployment("a"), deployment("b", priority=1), strategy=strategy)
    health.failed(given_plan.deployments[0], failure("rate_limited", 5000))
    assert order(given_plan, health, b"key") == ["b", "a"]
    time.seconds += 5.1
    assert order(given_plan, health, b"key") == ["a", "b"]


def test_failures_in_a_row_are_a_rest_that_doubles(health: Health, time: Time) -> None:
    one = deployment("a")
    health.failed(one, failure())
    health.failed(one, failure("timeout"))
    assert not health.rests(one)
    spans = []
    for _ in range(8):
        health.failed(one, failure())
        spans.append(health.of(one).rests_until - time.seconds)
        time.seconds += spans[-1] + 0.01
        assert not health.rests(one)
    assert spans == pytest.approx([2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0])
    health.succeeded(one)
    health.failed(one, failure())
    assert not health.rests(one)


def test_what_is_the_requests_own_fault_rests_nobody(health: Health) -> None:
    one = deployment("a")
    for _ in range(9):
        health.failed(one, failure("bad_request"))
        health.failed(one, failure("untranslatable"))
    assert (health.rests(one), health.of(one).failures) == (False, 0)


def test_a_provider_cannot_order_an_endless_rest(health: Health, time: Time) -> None:
    one = deployment("a")
    health.failed(one, failure("rate_limited", 86_000_000))
    assert health.of(one).rests_until - time.seconds == 300


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"20ms"}, 0.02),
        ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"0m7.5s"}, 7.5),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"12"}, 12),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"9h"}, 60),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"soon"}, 1),
        ({b"anthropic-ratelimit-requests-remaining": b"0"}, 1),
        ({b"x-ratelimit-remaining-requests": b"-1"}, 0),
        ({b"x-ratelimit-remaining-requests": b"5"}, 0),
        ({}, 0),
    ],
)
def test_nothing_left_of_a_limit_is_a_rest(
    health: Health, time: Time, headers: dict[bytes, bytes], seconds: float
) -> None:
    one = deployment("a")
    health.told_limits(one, headers.get)
    assert max(0.0, health.of(one).rests_until - time.seconds) == pytest.approx(seconds)
    head = b"".join(b"%b: %b\r\n" % header for header in headers.items())
    assert (NOTHING_LEFT.search(head) is not None) == (seconds > 0)  # what is looked for before it is read


@pytest.mark.parametrize("line", [b"expires: 0\r\n", b"x-remaining: 10\r\n", b"remaining" * 7_000])
def test_a_head_that_tells_of_no_limit_is_passed_over(line: bytes) -> None:
    assert NOTHING_LEFT.search(line) is None


@given(st.binary(max_size=12))
def test_no_reset_can_break_a_call(reset: bytes) -> None:
    health = Health(Time())
    told = {b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": reset}
    health.told_limits(deployment("a"), told.get)
    assert 0 < health.of(deployment("a")).rests_until - 100 <= 60


def test_second_tries_are_a_tenth_of_the_calls(health: Health, time: Time) -> None:
    health.may_retry()
    first = sum(health.may_retry() for _ in range(100))
    assert first == 19
    for _ in range(1000):
        health.call_began()
        first += health.may_retry()
    assert first - 19 == pytest.approx(100, abs=1)
    time.seconds += 10
    assert [health.may_retry() for _ in range(4)].count(True) in (2, 3)


def test_a_callers_own_credential_keeps_its_place(health: Health) -> None:
    given_plan = plan(deployment("a", is_own=True), deployment("b", usd="0"), strategy="lowest_cost")
    assert order(given_plan, health) == ["a", "b"]


def test_the_number_of_standings_is_bounded(health: Health) -> None:
    for number in range(MOST_DEPLOYMENTS + 10):
        health.of(deployment(f"m{number}"))
    assert len(health.all()) == MOST_DEPLOYMENTS
