"""The counters in Redis after a loss: rebuilt from the ledger before admission opens again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio
import redis.asyncio as redis
from common.contracts.envelope import event_headers

MakeEvent = Callable[..., Any]


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncIterator[redis.Redis]:
    """The Redis that admission stands on."""
    client = redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()


async def test_a_fresh_installation_opens_at_once(journeys: Any, store: redis.Redis) -> None:
    assert await journeys.billing.open_admission()
    assert await store.get("epoch")


async def test_lost_counters_are_rebuilt_exactly_before_admission_opens(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    await journeys.book(
        [
            usage_event(api_key_id="key-1", cost="0.0000000001"),
            usage_event(api_key_id="key-1", cost="1.5"),
            usage_event(api_key_id="key-1", cost="9", billable=False),
            usage_event(api_key_id="key-1", cost="0.25", user_id="user-2"),
            usage_event(api_key_id="key-2", cost="0.000000002", period="2026-10"),
            usage_event(api_key_id="key-3", cost="4", period="2026-09"),
            usage_event(api_key_id=None, cost="4"),
        ]
    )
    assert await journeys.billing.open_admission()
    first_epoch = await store.get("epoch")
    await store.flushall()
    assert await journeys.billing.open_admission()
    found = {key: await store.get(key) async for key in store.scan_iter("cost:*")}
    assert found == {"cost:key-1:2026:11": "1750000001", "cost:key-2:2026:10": "2"}
    assert await store.get("epoch") not in (None, first_epoch)


async def test_more_keys_than_one_script_call_takes_are_all_rebuilt(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    await journeys.book([usage_event(api_key_id=f"key-{number}", cost="0.001") for number in range(1_234)])
    assert await journeys.billing.open_admission()
    found = [await store.get(f"cost:key-{number}:2026:11") for number in range(1_234)]
    assert found == ["1000000"] * 1_234


async def test_a_counter_that_has_counted_more_is_left_alone(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    await journeys.book([usage_event(api_key_id=f"key-{n}", cost="1") for n in (1, 2)])
    await store.mset({"cost:key-1:2026:11": 2_000_000_000, "cost:key-2:2026:11": 5})
    assert await journeys.billing.open_admission()
    assert await store.mget("cost:key-1:2026:11", "cost:key-2:2026:11") == ["2000000000", "1000000000"]


async def test_admission_stays_closed_while_an_event_is_not_booked_yet(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    event = usage_event(cost="0.5")
    await journeys.bus.jetstream.publish(
        "usage.recorded.openai.key-1", event.model_dump_json().encode(), headers=event_headers(event.id)
    )
    assert not await journeys.billing.open_admission()
    puller = await journeys.bus.jetstream.pull_subscribe_bind(durable="billing", stream="USAGE")
    [message] = await puller.fetch(1)
    assert not await journeys.billing.open_admission(), "delivered is not booked"
    await journeys.book([event])
    await message.ack_sync()
    assert await journeys.billing.open_admission()
    assert await store.get("cost:key-1:2026:11") == "500000000"


async def test_admission_stays_closed_while_events_wait_in_redis(journeys: Any, store: redis.Redis) -> None:
    await store.rpush("gateway:logs", "an event")
    assert not await journeys.billing.open_admission()
    assert await store.get("epoch") is None
    await store.delete("gateway:logs")
    assert await journeys.billing.open_admission()


async def test_an_open_epoch_is_never_replaced(journeys: Any, store: redis.Redis) -> None:
    await store.set("epoch", "mine")
    assert await journeys.billing.open_admission()
    assert await store.get("epoch") == "mine"


async def test_replicas_that_rebuild_together_agree_on_one_epoch(journeys: Any, store: redis.Redis) -> None:
    assert any(await asyncio.gather(*(journeys.billing.open_admission() for _ in range(4))))
    epoch = await store.get("epoch")
    assert await journeys.billing.open_admission()
    assert epoch is not None
    assert epoch == await store.get("epoch")


async def test_the_running_service_reopens_after_redis_was_emptied(
    service: Any, store: redis.Redis, usage_event: MakeEvent, eventually: Callable[..., Awaitable[Any]]
) -> None:
    first_epoch = await eventually(lambda: store.get("epoch"))
    await service.publish(usage_event(cost="0.75", period="2026-11"))

    async def billed() -> bool:
        return bool((await service.get("/api/v1/billing/summary"))["items"])

    await eventually(billed)
    await store.flushall()
    epoch = await eventually(lambda: store.get("epoch"))
    assert epoch != first_epoch
