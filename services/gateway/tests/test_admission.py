"""One admission over all limits and budgets: all of them or none, once, and by Redis' own clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from common.clock import SystemClock
from common.money import Money
from common.periods import period_at
from common.testing.clocks import FixedClock
from desk import DOLLAR, Desk, open_desk
from gateway.limits.limiter import Admitted, Refused


@pytest_asyncio.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with open_desk(redis_url) as opened:
        yield opened


async def test_a_call_counts_in_every_budget_that_matches_it(desk: Desk) -> None:
    desk.user(monthly_budget=Money.of("50"))
    desk.team(monthly_budget=Money.of("50"))
    for scope in ("global", "key:key-1", "provider:openai", "model:openai/gpt-4", "user:u1/provider:openai"):
        desk.budget(scope, "50")
    desk.budget("provider:groq", "0")
    desk.budget("user:u2", "0")
    key = desk.key(user_id="u1", team_id="t1", monthly_budget=Money.of("50"))
    admitted = await desk.admitted(key, "r1")
    month = period_at("monthly", "UTC", SystemClock().now()).name
    assert set(admitted.counters.names) == {
        f"key:key-1:{month}",
        f"user:u1:{month}",
        f"team:t1:{month}",
        "key:key-1:total",
        "global:total",
        "provider:openai:total",
        "model:openai/gpt-4:total",
        "user:u1/provider:openai:total",
    }
    suffixes = admitted.counters.arguments[::3]
    assert len(suffixes) == 8
    for suffix in suffixes:
        assert await desk.money(str(suffix)) == (0, DOLLAR)
    assert await desk.limiter.settle("r1", 1, 400, 10, "final", "e1") == "settled"
    for suffix in suffixes:
        assert await desk.money(str(suffix)) == (400, 0)


SCOPES = ["key:key-1", "user:u1", "team:t1", "global", "provider:openai", "model:openai/gpt-4"]


@pytest.mark.parametrize("scope", SCOPES)
async def test_one_budget_that_refuses_leaves_no_trace_in_any(desk: Desk, scope: str) -> None:
    for other in SCOPES:
        desk.budget(other, "0.5" if other == scope else "50", period="daily")
    desk.user(rate_limit=5, token_limit=500, max_concurrency=5)
    key = desk.key(user_id="u1", team_id="t1", rate_limit=5, token_limit=500, tier="trial")
    before = await desk.everything()
    refused = await desk.admit(key, "r1")
    assert isinstance(refused, Refused)
    assert refused.budget is not None
    assert (refused.why, refused.budget.scope, refused.budget.kind) == ("budget", scope, "daily")
    assert await desk.everything() == before


@pytest.mark.parametrize("limits", [{"rate_limit": 1}, {"token_limit": 30}, {"max_concurrency": 1}])
@pytest.mark.parametrize("whose", ["user", "team"])
async def test_limits_of_users_and_teams_bind_beside_the_key_s(desk: Desk, whose: str, limits: dict[str, int]) -> None:
    getattr(desk, whose)(**limits)
    key = desk.key(user_id="u1", team_id="t1", rate_limit=100, token_limit=1000, max_concurrency=10)
    await desk.admitted(key, "r1")
    before = await desk.everything()
    refused = await desk.admit(key, "r2")
    assert isinstance(refused, Refused)
    assert refused.why in ("rate", "tokens", "concurrency")
    assert await desk.everything() == before


async def test_what_is_left_is_told_by_the_tightest(desk: Desk) -> None:
    desk.user(rate_limit=3, token_limit=5000)
    key = desk.key(user_id="u1", rate_limit=10, token_limit=100)
    admitted = await desk.admitted(key, "r1")
    assert (admitted.rate_limit, admitted.rate_remaining) == (3, 2)
    assert (admitted.token_limit, admitted.token_remaining) == (100, 80)


async def test_a_soft_budget_counts_and_never_refuses(desk: Desk) -> None:
    desk.budget("global", "0.1", mode="soft")
    desk.budget("global", "7", mode="hard")
    key = desk.key()
    for number in range(7):
        await desk.admitted(key, f"r{number}")
    assert await desk.money("global:total") == (0, 7 * DOLLAR)
    refused = await desk.admit(key, "r8")
    assert isinstance(refused, Refused)
    assert refused.is_waiting
    assert refused.budget is not None
    assert refused.budget.limit_nano == 7 * DOLLAR


async def test_what_billing_counts_besides_is_spent_in_every_scope(desk: Desk) -> None:
    desk.budget("provider:openai", "2")
    await desk.redis.hset("other:provider:openai:total", mapping={"total": DOLLAR + 1, "version": 1})
    refused = await desk.admit(desk.key(), "r1")
    assert isinstance(refused, Refused)
    assert not refused.is_waiting
    await desk.redis.hset("other:provider:openai:total", "total", DOLLAR)
    assert isinstance(await desk.admit(desk.key(), "r1"), Admitted)


async def test_of_two_refusing_budgets_the_spent_one_is_told(desk: Desk) -> None:
    desk.budget("global", "1")
    desk.budget("key:key-1", "3")
    await desk.redis.set("held:global:total", DOLLAR)
    await desk.redis.set("cost:key:key-1:total", 3 * DOLLAR)
    refused = await desk.admit(desk.key(), "r1")
    assert isinstance(refused, Refused)
    assert refused.budget is not None
    assert (refused.budget.scope, refused.is_waiting) == ("key:key-1", False)


async def test_an_open_output_is_cut_to_the_tightest_budget(desk: Desk) -> None:
    desk.budget("global", "0.5")
    desk.budget("key:key-1", "0.3")
    open_output: dict[str, Any] = {"nano_per_million_output": 10**12, "output_tokens": 4096, "may_cut_output": True}
    admitted = await desk.admitted(desk.key(), "r1", 100_000_000, **open_output)
    assert (admitted.output_tokens, admitted.held_nano) == (200, 300_000_000)


async def test_asked_again_for_the_same_attempt_nothing_more_is_held(desk: Desk) -> None:
    desk.budget("global", "5")
    key = desk.key(rate_limit=5, tier="trial")
    first = await desk.admitted(key, "r1")
    again = await desk.admitted(key, "r1")
    assert (again.epoch, again.output_tokens, again.held_nano) == (first.epoch, first.output_tokens, first.held_nano)
    assert await desk.money("global:total") == (0, DOLLAR)
    assert await desk.redis.zcard("rate_limit:key-1") == 1


async def test_settling_twice_charges_once(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1")
    assert await desk.limiter.settle("r1", 1, 400, 10, "final", "e1") == "settled"
    assert await desk.limiter.settle("r1", 1, 400, 10, "final", "e1") == "known"
    assert await desk.money(desk.month()) == (400, 0)


async def test_many_at_once_never_pass_any_budget(desk: Desk) -> None:
    desk.budget("global", "7")
    desk.budget("key:key-1", "5", period="weekly")
    key = desk.key(monthly_budget=Money.of("9"))
    decided = await asyncio.gather(*[desk.admit(key, f"r{number}") for number in range(100)])
    assert sum(isinstance(one, Admitted) for one in decided) == 5
    assert await desk.money("global:total") == (0, 5 * DOLLAR)


@pytest.mark.parametrize("hours", [-1, 1, -24 * 40, 24 * 40])
async def test_clocks_that_are_off_change_nothing(redis_url: str, hours: int) -> None:
    now = SystemClock().now()
    async with open_desk(redis_url, FixedClock(now + timedelta(hours=hours))) as desk:
        for kind in ("daily", "weekly", "monthly"):
            for zone in ("UTC", "Pacific/Auckland", "America/New_York"):
                desk.budget("global", "3", period=kind, zone=zone)
        key = desk.key(tier="starter")
        admitted = await desk.admitted(key, "r1")
        right = {f"key:key-1:{period_at('monthly', 'UTC', now).name}"} | {
            f"global:{period_at(budget.kind, budget.zone, now).name}" for budget in desk.budgets.of_scope("global")
        }
        assert set(admitted.counters.names) == right
        assert await desk.redis.get(f"quota:key:key-1:{now:%Y:%m}") == b"1"


async def test_a_call_in_a_zone_counts_in_that_zone_s_day(desk: Desk) -> None:
    desk.budget("global", "3", period="daily", zone="Pacific/Kiritimati")
    admitted = await desk.admitted(desk.key(), "r1")
    day = period_at("daily", "Pacific/Kiritimati", SystemClock().now()).name
    assert day.endswith("@Pacific/Kiritimati")
    assert admitted.counters.names[1] == f"global:{day}"
    assert await desk.money(f"global:{day}") == (0, DOLLAR)


async def test_the_quota_of_a_tier_is_used_up_by_a_user_s_keys_together(desk: Desk) -> None:
    key = desk.key(tier="trial", user_id="u1")
    month = f"{SystemClock().now():%Y:%m}"
    await desk.redis.set(f"quota:user:u1:{month}", 98)
    await desk.admitted(key, "r1")
    await desk.admitted(key, "r1", attempt=2)
    await desk.admitted(key, "r2")
    refused = await desk.admit(key, "r3")
    assert isinstance(refused, Refused)
    assert refused.why == "quota"
    assert await desk.redis.get(f"quota:user:u1:{month}") == b"100"
    assert isinstance(await desk.admit(desk.key(user_id="u1"), "r4"), Admitted)  # a key without a tier has no quota
    assert isinstance(await desk.admit(desk.key(tier="enterprise", user_id="u1"), "r5"), Admitted)
    assert await desk.redis.get(f"quota:user:u1:{month}") == b"101"
    assert await desk.redis.ttl(f"quota:user:u1:{month}") == -1  # its life is decided when it begins


async def test_an_expensive_call_is_refused_for_good_and_a_cheap_one_goes_on(desk: Desk) -> None:
    key = desk.key(monthly_budget=Money.of("1"))
    too_dear = await desk.admit(key, "r1", DOLLAR + 1)
    assert isinstance(too_dear, Refused)
    assert not too_dear.is_waiting
    assert isinstance(await desk.admit(key, "r2", DOLLAR), Admitted)
