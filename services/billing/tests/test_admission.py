"""The counters in Redis after a loss: rebuilt from the ledger before admission opens again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis
from billing.domain.budgets import Setter
from billing.domain.counters import Span
from billing.flows.budgets import Wanted
from billing.jobs import AdmissionKeeper, JobMetrics
from common.contracts.envelope import event_headers
from prometheus_client import CollectorRegistry

MakeEvent = Callable[..., Any]
TRIED = {
    "provider": "openai", "provider_id": None, "model": "gpt-4", "status": "failed", "http_status": 500, "error": None,
    "latency_ms": 1,
}  # fmt: skip


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncIterator[redis.Redis]:
    """The Redis that admission stands on."""
    client = redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()


async def reopened(journeys: Any) -> None:
    """Let billing see that admission is closed, wait as long as it must, and open."""
    assert not await journeys.billing.admission.keep_open()
    journeys.clock.advance(4.9)
    assert not await journeys.billing.admission.keep_open(), "calls that run must have had the time to hold again"
    journeys.clock.advance(0.1)
    assert await journeys.billing.admission.keep_open()


async def test_a_fresh_installation_opens_at_once(journeys: Any, store: redis.Redis) -> None:
    assert await journeys.billing.admission.keep_open()
    epoch, server = str(await store.get("epoch")), await store.info("server")
    assert epoch.endswith(f"@{server['run_id']}")


async def test_a_database_that_says_farewell_to_a_query_is_waited_out(
    journeys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")])
    looked_again = asyncio.Event()

    async def keep_open() -> bool:
        for error in answers:
            raise error
        looked_again.set()
        return True

    monkeypatch.setattr(journeys.billing.admission, "keep_open", keep_open)
    monkeypatch.setattr("billing.jobs._ADMISSION_SECONDS", 0.01)
    keeper = asyncio.create_task(
        AdmissionKeeper(journeys.billing, JobMetrics(CollectorRegistry()), journeys.clock).run()
    )
    try:
        async with asyncio.timeout(5):
            await looked_again.wait()
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


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
    assert await journeys.billing.admission.keep_open()
    first_epoch = await store.get("epoch")
    await store.flushall()
    await reopened(journeys)
    found = {key: await store.get(key) async for key in store.scan_iter("cost:*")}
    assert found == {"cost:key-1:2026:11": "1750000001", "cost:key-2:2026:10": "2"}
    others = {key: await store.hget(key, "total") async for key in store.scan_iter("other:*")}
    assert others == {
        "other:user:user-1:2026-11": "5500000001",
        "other:user:user-2:2026-11": "250000000",
        "other:user:user-1:2026-10": "2",
    }
    assert await store.get("epoch") not in (None, first_epoch)


async def test_more_keys_than_one_script_call_takes_are_all_rebuilt(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    await journeys.book([usage_event(api_key_id=f"key-{number}", cost="0.001") for number in range(1_234)])
    assert await journeys.billing.admission.keep_open()
    found = [await store.get(f"cost:key-{number}:2026:11") for number in range(1_234)]
    assert found == ["1000000"] * 1_234


async def test_a_counter_that_outlived_its_epoch_is_set_to_what_is_booked(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    # What it held beyond that comes with events of the epoch before, which billing counts itself.
    await journeys.book([usage_event(api_key_id=f"key-{n}", cost="1") for n in (1, 2)])
    await store.mset({"cost:key-1:2026:11": 2_000_000_000, "cost:key-2:2026:11": 5})
    assert await journeys.billing.admission.keep_open()
    assert await store.mget("cost:key-1:2026:11", "cost:key-2:2026:11") == ["1000000000", "1000000000"]


async def test_what_was_settled_of_a_call_that_nothing_is_booked_of_goes_with_its_epoch(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    """A first attempt was settled, and its call went on when Redis was started anew: the event will name the old epoch."""
    await journeys.book(
        [usage_event(api_key_id="key-1", user_id="user-9", cost="1")]
    )  # which settled in its key's counter
    await store.mset({"cost:key-1:2026:11": 5, "cost:user:user-9:2026-11": 700, "cost:user:user-9:2026-01": 3})
    assert await journeys.billing.admission.keep_open()
    left = {key: await store.get(key) async for key in store.scan_iter("cost:*")}
    assert left == {"cost:key-1:2026:11": "1000000000", "cost:user:user-9:2026-01": "3"}


async def test_admission_stays_closed_while_an_event_is_not_booked_yet(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    event = usage_event(cost="0.5")
    await journeys.bus.jetstream.publish(
        "usage.recorded.openai.key-1", event.model_dump_json().encode(), headers=event_headers(event.id)
    )
    assert not await journeys.billing.admission.keep_open()
    puller = await journeys.bus.jetstream.pull_subscribe_bind(durable="billing", stream="USAGE")
    [message] = await puller.fetch(1)
    assert not await journeys.billing.admission.keep_open(), "delivered is not booked"
    await journeys.book([event])
    await message.ack_sync()
    assert await journeys.billing.admission.keep_open()
    assert await store.get("cost:key-1:2026:11") == "500000000"


async def test_admission_stays_closed_while_events_wait_in_redis(journeys: Any, store: redis.Redis) -> None:
    await store.rpush("gateway:logs", "an event")
    assert not await journeys.billing.admission.keep_open()
    assert await store.get("epoch") is None
    await store.delete("gateway:logs")
    assert await journeys.billing.admission.keep_open()


async def test_an_open_epoch_is_never_replaced(journeys: Any, store: redis.Redis) -> None:
    await store.set("epoch", "mine")
    assert await journeys.billing.admission.keep_open()
    assert await store.get("epoch") == "mine"


async def test_an_epoch_that_is_not_the_one_that_was_opened_is_closed_and_opened_anew(
    journeys: Any, store: redis.Redis
) -> None:
    assert await journeys.billing.admission.keep_open()
    await store.set("epoch", "of an older copy of the data")
    assert not await journeys.billing.admission.keep_open()
    assert await store.get("epoch") is None
    journeys.clock.advance(5)
    assert await journeys.billing.admission.keep_open()
    assert await store.get("epoch") not in (None, "of an older copy of the data")


async def test_another_run_of_redis_is_taken_for_one_that_lost_something(journeys: Any, store: redis.Redis) -> None:
    assert await journeys.billing.admission.keep_open()
    await journeys.pool.execute("UPDATE admission SET redis_run_id = 'the server before'")
    epoch = await store.get("epoch")
    await reopened(journeys)
    assert await store.get("epoch") not in (None, epoch)


async def test_used_quotas_come_back_with_the_counters(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    assert await journeys.billing.admission.keep_open()
    calls = [usage_event(tier="trial"), usage_event(tier="trial"), usage_event(tier="trial", user_id=None)]
    await journeys.book([*calls, usage_event(), usage_event(source="lab", user_id="user-2", api_key_id=None)])
    await journeys.book(calls)
    await store.flushall()
    await reopened(journeys)
    found = {key: await store.get(key) async for key in store.scan_iter("quota:*")}
    assert found == {"quota:user:user-1:2026:11": "2", "quota:key:key-1:2026:11": "1", "quota:user:user-2:2026:11": "1"}


async def test_a_settlement_that_redis_had_lost_is_counted_by_billing_and_once(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    assert await journeys.billing.admission.keep_open()
    old = await store.get("epoch")
    named = {"budgets": ["key:key-1:2026-11", "user:user-1:2026-11"], "epoch": old}
    await journeys.book([usage_event("before", cost="1", **named)])
    await store.flushall()
    await reopened(journeys)
    await journeys.book([usage_event("late", cost="2", **named)])
    await journeys.book([usage_event("after", cost="4", **{**named, "epoch": await store.get("epoch")})])
    await journeys.billing.others.tell()
    assert await store.get("cost:key-1:2026:11") == "1000000000", "what is settled now is the gateway's to add"
    for scope in ("key:key-1", "user:user-1"):
        assert await store.hget(f"other:{scope}:2026-11", "total") == "2000000000"
    await store.flushall()
    await reopened(journeys)
    assert await store.get("cost:user:user-1:2026-11") == "5000000000"
    assert await store.hget("other:user:user-1:2026-11", "total") == "2000000000"


async def test_a_final_of_an_older_epoch_adds_only_what_its_estimate_had_not(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    assert await journeys.billing.admission.keep_open()
    named = {"budgets": ["key:key-1:2026-11"], "epoch": await store.get("epoch")}
    await journeys.book([usage_event("r", kind="estimated", cost="0.5", **named)])
    await store.flushall()
    await reopened(journeys)
    await journeys.book([usage_event("r", cost="0.7", **named)])
    await journeys.billing.others.tell()
    assert await store.get("cost:key-1:2026:11") == "500000000"
    assert await store.hget("other:key:key-1:2026-11", "total") == "200000000"


async def test_replicas_that_rebuild_together_agree_on_one_epoch(journeys: Any, store: redis.Redis) -> None:
    assert any(await asyncio.gather(*(journeys.billing.admission.keep_open() for _ in range(4))))
    epoch = await store.get("epoch")
    assert await journeys.billing.admission.keep_open()
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


async def test_a_counter_that_nothing_was_ever_booked_in_is_forgotten_with_its_epoch(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    """Redis is started anew, with all that it held, between two attempts of the first call of a day."""
    assert await journeys.billing.admission.keep_open()
    old, budgets = await store.get("epoch"), ["key:key-7:2026-11", "global:2026-11-22"]
    daily = Wanted("global", None, Span("daily", "UTC"), "hard", Decimal(10), (100,))
    await journeys.billing.budgets.set(Setter("root", is_admin=True), daily, None)
    journeys.clock.advance(86_400)  # and on the next day it counts from nothing
    first, second = ({**TRIED, "usage": None, "cost_usd": cost, "unbilled_usd": "0"} for cost in ("0.3", "0.4"))
    settled = {"cost:key-7:2026:11": 300_000_000, "cost:global:2026-11-22": 300_000_000, "cost:key-7:2026:09": 5}
    await store.mset(settled)  # by the first attempt
    await journeys.pool.execute("UPDATE admission SET redis_run_id = 'the run before'")
    await reopened(journeys)
    assert {key async for key in store.scan_iter("cost:*")} == {"cost:key-7:2026:09"}
    event = usage_event(api_key_id="key-7", cost="0.7", attempts=[first, second], budgets=budgets, epoch=old)
    await journeys.book([event])  # settled in nothing: its epoch is over
    await journeys.billing.others.tell()
    for name in budgets:
        assert await store.hget(f"other:{name}", "total") == "700000000"


async def test_what_reapers_counted_is_marked_again(journeys: Any, store: redis.Redis, usage_event: MakeEvent) -> None:
    assert await journeys.billing.admission.keep_open()
    epoch = await store.get("epoch")
    budgets = [
        "key:key-1:2026-11",
        "provider:groq:total",
        "provider:openai:total",
        "user:user-1/model:openai/gpt-4:total",
    ]
    named = {"budgets": budgets, "epoch": epoch}
    failed = {**TRIED, "provider": "groq", "usage": None, "cost_usd": "0.1", "unbilled_usd": "0"}
    lost = {**TRIED, "usage": None, "cost_usd": "0.2", "unbilled_usd": "0"}
    await journeys.book(
        [
            usage_event("r1", kind="estimated", cost="0.2", budgets=["key:key-1:2026-11"], epoch=epoch),
            usage_event("r2", kind="estimated", cost="0.3", attempts=[failed, lost], **named),
            usage_event("r3", kind="estimated", cost="0.2", **named),
            usage_event("r3", cost="0.5", **named),
            usage_event("r4", kind="estimated", cost="0.2", billable=False, budgets=[]),
            usage_event("r5", kind="estimated", cost="0.2", budgets=["key:key-1:2026-11"], epoch="before"),
        ]
    )
    await store.flushall()
    await reopened(journeys)
    marks = {key: await store.hgetall(key) async for key in store.scan_iter("reaped:*")}
    assert marks == {
        "reaped:r1/1": {"cost": "200000000", "counters": "key-1:2026:11"},
        "reaped:r2/2": {
            "cost": "200000000",
            "counters": "key-1:2026:11\nprovider:openai:total\nuser:user-1/model:openai/gpt-4:total",
        },
        "reaped:r5/1": {"cost": "0", "counters": "key-1:2026:11"},
    }
    assert 86_000 < await store.ttl("reaped:r1/1") <= 86_400


async def test_what_was_reaped_longer_ago_than_its_mark_lasts_is_not_marked(
    journeys: Any, store: redis.Redis, usage_event: MakeEvent
) -> None:
    assert await journeys.billing.admission.keep_open()
    await journeys.book([usage_event("r1", kind="estimated", epoch=await store.get("epoch"))])
    await store.flushall()
    journeys.clock.advance(86_401)
    await reopened(journeys)
    assert [key async for key in store.scan_iter("reaped:*")] == []
