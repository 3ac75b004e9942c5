"""Budgets of every scope, quotas and the limits of users and teams, as callers meet them."""

from __future__ import annotations

import asyncio
from typing import Any

from common.contracts.snapshots import BudgetSnapshot, TeamSnapshot, UserSnapshot
from common.money import Money
from common.testing.serving import eventually
from gateway_stack import KEY, KEY_ID, Stack, key_snapshot

FREE = {"rate_limit": None, "monthly_budget": None}


async def put_budget(stack: Stack, scope: str, limit: str, **changes: Any) -> None:
    """A budget that the gateway knows."""
    name = f"b-{scope.replace(':', '-').replace('/', '-')}"
    given = {"id": name, "scope": scope, "limit": Money.of(limit), "period": "daily", **changes}
    await stack.put("budgets", name, BudgetSnapshot(**given))
    await knows(stack, "budgets")


async def knows(stack: Stack, gauge: str) -> None:
    """Wait until the gateway has one of these."""

    async def has_it() -> bool:
        return f"tollgate_gateway_{gauge} 1" in (await stack.http.get("/metrics")).text

    await eventually(has_it)


async def put_key(stack: Stack, **changes: Any) -> None:
    """The test key, otherwise; seen once its other model list is."""
    allowed = (*changes.pop("allowed_models", ("gpt-4", "with-fallback")), "mark")
    await stack.put("keys", KEY_ID, key_snapshot(**{**FREE, "allowed_models": allowed, **changes}))

    async def has_it() -> bool:
        models = await stack.http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
        return {row["id"] for row in models.json()["data"]} <= set(allowed)

    await eventually(has_it)


async def test_the_budget_s_own_period_is_named(stack: Stack) -> None:
    await put_budget(stack, "global", "0")
    answer = await stack.chat()
    assert answer.status_code == 402
    assert answer.json()["error"]["message"] == "daily budget exceeded"
    assert answer.json()["error"]["reason"] == "budget_exceeded"
    assert answer.headers["x-should-retry"] == "false"


async def test_the_event_names_what_its_call_was_counted_in(stack: Stack) -> None:
    await put_budget(stack, "provider:openai", "5", mode="soft")
    answer = await stack.chat(max_tokens=5)
    assert answer.status_code == 200
    [event] = await stack.events()
    assert len(event.budgets) == 2
    assert event.budgets[0] == f"key:{KEY_ID}:{event.period}"
    assert event.budgets[1].startswith("provider:openai:")
    assert event.epoch == "tests"
    assert event.attempts[0].provider_id == "openai"
    assert event.decision is not None
    assert [seen.counter for seen in event.decision.budgets] == [event.budgets[1]]
    spent = event.cost_usd.to_nano_ceiling()
    assert int(await stack.redis.get(f"cost:{event.budgets[1]}")) == spent == await stack.spent()


async def test_where_a_provider_s_budget_is_spent_the_next_deployment_answers(stack: Stack) -> None:
    await put_budget(stack, "provider:openai", "0")
    await put_key(stack, rate_limit=5)
    answer = await stack.chat(model="with-fallback", max_tokens=5)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollgate-provider"] == "groq"
    assert answer.headers["x-ratelimit-remaining-requests"] == "4"
    [event] = await stack.events()
    assert [attempt.provider for attempt in event.attempts] == ["groq"]
    assert not any(name.startswith("provider:openai") for name in event.budgets)
    alone = await stack.chat(max_tokens=5)
    assert alone.json()["error"]["message"] == "daily budget exceeded"
    assert await stack.redis.zcard(f"rate_limit:{KEY_ID}") == 1


async def test_a_used_up_quota_refuses_and_a_refused_call_uses_none(stack: Stack) -> None:
    await put_key(stack, tier="trial", rate_limit=1)
    name = f"quota:user:user-1:{stack.month}"
    await stack.redis.set(name, 98)
    assert (await stack.chat(max_tokens=5)).status_code == 200
    assert (await stack.chat(max_tokens=5)).status_code == 429  # the rate limit
    assert await stack.redis.get(name) == b"99"
    await stack.redis.set(name, 100)
    await stack.redis.delete(f"rate_limit:{KEY_ID}")
    refused = await stack.chat(max_tokens=5)
    assert refused.status_code == 429
    assert refused.json()["error"]["reason"] == "quota_exceeded"
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers


async def test_limits_and_budget_of_a_user_and_a_team_bind_all_their_keys(stack: Stack) -> None:
    await stack.put("keys", "user.user-1", UserSnapshot(id="user-1", rate_limit=7))
    await stack.put("keys", "team.t1", TeamSnapshot(id="t1", name="T", monthly_budget=Money.of("0.000001")))
    await put_key(stack, team_id="t1")
    answer = await stack.chat(max_tokens=5)
    assert answer.status_code == 402
    assert answer.json()["error"]["message"] == "monthly budget exceeded"
    await stack.put("keys", "team.t1", TeamSnapshot(id="t1", name="T", monthly_budget=Money.of("5")))
    await put_key(stack, team_id="t1", allowed_models=("gpt-4",))
    answer = await stack.chat(max_tokens=5)
    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-limit-requests"] == "7"
    assert int(await stack.redis.get(f"cost:team:t1:{stack.month.replace(':', '-')}")) == await stack.spent()


async def test_a_disabled_user_s_and_team_s_keys_do_not_call(stack: Stack) -> None:
    for name, snapshot in {
        "user.user-1": UserSnapshot(id="user-1", enabled=False),
        "team.t1": TeamSnapshot(id="t1", name="T", enabled=False),
    }.items():
        await put_key(stack, team_id="t1")
        await stack.put("keys", name, snapshot)

        async def is_refused() -> bool:
            return (await stack.chat(max_tokens=5)).status_code == 401

        await eventually(is_refused)
        await stack.put("keys", name, None)


async def test_a_stream_that_outlives_a_flush_is_held_again_and_counted_once(stack: Stack) -> None:
    """Redis is emptied under a running stream; billing, played here, opens admission again."""
    body = {
        "model": "gpt-4",
        "stream": True,
        "messages": [{"role": "user", "content": "[[simulate tokens=25 chunk_ms=200]]"}],
    }
    async with stack.http.stream(
        "POST", "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}
    ) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        held = await stack.held()
        await stack.redis.flushall()

        async def is_held_again() -> bool:
            return await stack.held() == held > 0

        await eventually(is_held_again)
        assert (await stack.chat()).status_code == 503
        await stack.redis.set("epoch", "rebuilt")
        await asyncio.sleep(1.5)
        async for _ in lines:
            pass
    [event] = await stack.events()
    assert event.epoch == "rebuilt"
    assert await stack.spent() == event.cost_usd.to_nano_ceiling() > 0
    assert await stack.held() == 0
