"""Settlements that are asked for again: whenever both a reaper and its own gateway have told of a call, and until a gateway
has made them."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import redis.asyncio as redis
from billing.store import locks
from common.contracts.topology import MOST_SETTLED_AGAIN, SETTLE_AGAIN_KEY

MakeEvent = Callable[..., Any]


async def asked_for(redis_url: str) -> list[dict[str, Any]]:
    """What the list in Redis holds."""
    async with redis.from_url(redis_url) as client:
        return [json.loads(entry) for entry in await client.lrange(SETTLE_AGAIN_KEY, 0, -1)]


async def opened(journeys: Any, epoch: str) -> None:
    """Admission is open under this epoch, as far as the database knows."""
    async with journeys.pool.acquire() as connection:
        await locks.open_under(connection, epoch, "run", journeys.clock.now())


def both(usage_event: MakeEvent, epoch: str = "e1") -> dict[str, Any]:
    """The two events of one call whose gateway died after it had told."""
    return {
        kind: usage_event("r1", kind=kind, cost=cost, tokens=tokens, epoch=epoch)
        for kind, cost, tokens in (("final", "0.0006", (10, 5)), ("estimated", "0.0009", (15, 7)))
    }


@pytest.mark.parametrize("batches", [["final", "estimated"], ["estimated", "final"], ["final estimated"]])
async def test_a_call_that_was_told_twice_is_to_be_settled_by_its_final(
    journeys: Any, usage_event: MakeEvent, redis_url: str, batches: list[str]
) -> None:
    await opened(journeys, "e1")
    events = both(usage_event)
    for batch in batches:
        await journeys.book([events[kind] for kind in batch.split()])
        await journeys.book([events[kind] for kind in batch.split()])
    assert await journeys.billing.resettling.ask() == 1
    told = {"request_id": "r1", "attempt": 1, "cost_nano": 600_000, "tokens": 15, "epoch": "e1"}
    assert await asked_for(redis_url) == [told]
    assert await journeys.billing.resettling.ask() == 0


@pytest.mark.parametrize("kind", ["final", "estimated"])
async def test_a_call_that_was_told_once_is_not_asked_for(journeys: Any, usage_event: MakeEvent, kind: str) -> None:
    event = both(usage_event)[kind]
    await journeys.book([event])
    await journeys.book([event])
    assert await journeys.billing.resettling.ask() == 0


@pytest.mark.parametrize("order", [["final", "estimated"], ["estimated", "final"]])
async def test_what_billing_counts_itself_is_to_be_settled_in_no_epoch(
    journeys: Any, usage_event: MakeEvent, redis_url: str, order: list[str]
) -> None:
    await opened(journeys, "e2")
    events = both(usage_event, epoch="e1")
    for kind in order:
        await journeys.book([events[kind]])
    await journeys.billing.resettling.ask()
    assert [told["epoch"] for told in await asked_for(redis_url)] == [""]


async def test_every_attempt_is_asked_for_at_its_own_cost(
    journeys: Any, usage_event: MakeEvent, redis_url: str
) -> None:
    tried = {"provider_id": None, "model": "m", "status": "failed", "http_status": 500, "error": None, "latency_ms": 1}
    attempts = [
        {**tried, "provider": "groq", "usage": None, "cost_usd": "0.0001", "unbilled_usd": "0"},
        {**tried, "provider": "openai", "usage": None, "cost_usd": "0.0005", "unbilled_usd": "0"},
    ]
    await journeys.book([usage_event("r1", attempts=attempts), usage_event("r1", kind="estimated", cost="0.002")])
    await journeys.billing.resettling.ask()
    assert [(one["attempt"], one["cost_nano"]) for one in await asked_for(redis_url)] == [(1, 100_000), (2, 500_000)]


async def test_what_redis_did_not_take_is_asked_for_later(
    journeys: Any, usage_event: MakeEvent, redis_url: str
) -> None:
    await journeys.book(list(both(usage_event).values()))
    async with redis.from_url(redis_url) as client:
        await client.rpush(SETTLE_AGAIN_KEY, *[b"{}"] * MOST_SETTLED_AGAIN)
        assert await journeys.billing.resettling.ask() == 0
        await client.delete(SETTLE_AGAIN_KEY)
        await client.set(SETTLE_AGAIN_KEY, "no list")
        with pytest.raises(redis.ResponseError):
            await journeys.billing.resettling.ask()
        await client.delete(SETTLE_AGAIN_KEY)
    assert await journeys.billing.resettling.ask() == 1
    [told] = await asked_for(redis_url)
    assert Decimal(told["cost_nano"]) == 600_000


async def test_more_than_one_script_call_takes_is_asked_for(journeys: Any, usage_event: MakeEvent) -> None:
    calls = [
        usage_event(f"r{number}", kind=kind) for number in range(450) for kind in ("final", "estimated")
    ]  # more than twice what is asked for at once
    await journeys.book(calls)
    assert await journeys.billing.resettling.ask() == 450
