"""Rate limits and budgets: exact under concurrency, across attempts, and after a gateway died."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import redis.asyncio as redis
from common.money import Money
from gateway_stack import KEY, KEY_ID, Stack, all_but, key_snapshot


async def test_the_101st_request_of_a_minute_is_refused(stack: Stack) -> None:
    answers = await asyncio.gather(*[stack.chat(max_tokens=1) for _ in range(120)])
    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 20}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"] == {
        "message": "rate limit exceeded",
        "type": "invalid_request_error",
        "param": None,
        "code": 429,
        "reason": "rate_limit_exceeded",
    }
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert await stack.redis.zcard(f"rate_limit:{KEY_ID}") == 100
    remaining = sorted(int(a.headers["x-ratelimit-remaining-requests"]) for a in answers if a.status_code == 200)
    assert remaining == list(range(100))


async def test_a_budget_is_never_passed_however_many_call_at_once(stack: Stack) -> None:
    revision = await stack.put("keys", KEY_ID, key_snapshot(rate_limit=None, monthly_budget=Money.of("0.02")))
    assert revision
    await asyncio.sleep(0.2)
    limit, seen = 20_000_000, 0
    calling = asyncio.gather(*[stack.chat(max_tokens=20) for _ in range(60)])
    while not calling.done():
        spent, held = await asyncio.gather(stack.spent(), stack.held())
        seen = max(seen, spent + held)
        await asyncio.sleep(0.001)
    statuses = Counter(answer.status_code for answer in await calling)
    assert statuses[200] > 0
    assert statuses[402] > 0
    assert set(statuses) == {200, 402}
    assert seen <= limit
    assert await stack.spent() <= limit
    assert await stack.held() == 0


async def test_a_spent_budget_says_so_and_is_not_retried(stack: Stack) -> None:
    await stack.redis.set(f"cost:{KEY_ID}:{stack.month}", 10 * 10**9)
    answer = await stack.chat()
    assert answer.status_code == 402
    assert answer.json()["error"]["message"] == "monthly budget exceeded"
    assert answer.json()["error"]["code"] == 402
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    assert await stack.redis.zcard(f"rate_limit:{KEY_ID}") == 0


async def test_a_budget_that_only_others_hold_says_try_again(stack: Stack) -> None:
    await stack.redis.set(f"held:{KEY_ID}:{stack.month}", 10 * 10**9)
    answer = await stack.chat()
    assert answer.status_code == 402
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["retry-after"] == "1"


async def test_an_open_output_is_cut_to_what_the_budget_still_buys(stack: Stack) -> None:
    await stack.redis.set(f"cost:{KEY_ID}:{stack.month}", 10 * 10**9 - 10_000_000)
    answer = await stack.chat()
    assert answer.status_code == 200, answer.text
    cut = int(answer.headers["x-tollgate-max-tokens"])
    assert 1 <= cut < 4096
    [event] = await stack.events()
    assert event.decision is not None
    assert event.decision.bound_usd.usd <= Decimal("0.01")


async def test_without_an_epoch_nobody_is_admitted(stack: Stack) -> None:
    await stack.redis.delete("epoch")
    answer = await stack.chat()
    assert answer.status_code == 503
    assert answer.json()["error"]["reason"] == "service_unavailable"
    assert answer.headers["retry-after"] == "1"


async def test_a_revoked_key_is_refused_although_its_snapshot_is_still_here(stack: Stack) -> None:
    await stack.redis.set(f"revoked:{KEY_ID}", 1)
    answer = await stack.chat()
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "invalid API key"


async def test_tokens_of_a_minute_and_calls_at_once_are_limited(stack: Stack) -> None:
    await stack.put("keys", KEY_ID, key_snapshot(token_limit=300, max_concurrency=2))
    await asyncio.sleep(0.2)
    asked = [stack.chat("[[simulate tokens=5 held=two]]", max_tokens=5) for _ in range(4)]
    answers, running = await all_but(2, asked)
    await stack.let_go("two")
    answers += await asyncio.gather(*running)
    assert [answer.status_code for answer in answers] == [429, 429, 200, 200]
    assert await stack.redis.zcard(f"concurrency:{KEY_ID}") == 0
    used = sum(int(value) for value in (await stack.redis.hgetall(f"token_limit:{KEY_ID}")).values())
    assert used == sum(answer.json()["usage"]["total_tokens"] for answer in answers if answer.status_code == 200)
    refused = await stack.chat(max_tokens=1000)
    assert refused.status_code == 429


async def test_an_abandoned_hold_is_counted_until_it_is_told_and_settled(stack: Stack) -> None:
    """A gateway that died mid-stream left its hold; its lease has run out."""
    body = {
        "model": "gpt-4",
        "stream": True,
        "messages": [{"role": "user", "content": "[[simulate tokens=40 chunk_ms=100]]"}],
    }
    async with stack.http.stream(
        "POST", "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}
    ) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        [name] = await stack.redis.zrange("holds", 0, -1)
        held = await stack.held()
        assert held > 0
        await stack.redis.hset(f"hold:{name.decode()}", "delivered", 7)
        await stack.redis.zadd("holds", {name: 1})
        events = await stack.events(1)
        assert [event.kind for event in events] == ["estimated"]
        assert events[0].usage.output_tokens == 7
        assert await stack.held() == 0
        assert await stack.spent() == events[0].cost_usd.to_nano_ceiling() > 0
        async for _ in lines:  # the gateway was alive after all: the call ends well
            pass
    estimated, final = await stack.events(2)
    assert final.kind == "final"
    assert estimated.request_id == final.request_id
    assert await stack.spent() == final.cost_usd.to_nano_ceiling()
    assert await stack.held() == 0


async def test_a_flushed_redis_closes_the_door(stack: Stack) -> None:
    client: redis.Redis = stack.redis
    await client.flushall()
    assert (await stack.chat()).status_code == 503
