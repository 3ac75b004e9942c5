"""Redis' counters against the books: what stays off is shown, what is only ahead for a moment is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio as redis
from billing.domain.audit import Adrift
from billing.domain.counters import Counter
from billing.jobs import Auditor, JobMetrics
from prometheus_client import CollectorRegistry

MakeEvent = Callable[..., Any]
KEY, NAME = "cost:key-1:2026:11", Counter("key:key-1", "2026-11")


@pytest_asyncio.fixture
async def store(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()


async def opened(journeys: Any, usage_event: MakeEvent) -> None:
    """A dollar is booked, and admission is open with it in Redis."""
    await journeys.book([usage_event("r1", cost="1")])
    assert await journeys.billing.admission.keep_open()


async def test_what_stays_off_is_shown_at_the_second_look_and_gone_when_it_is_mended(
    journeys: Any, usage_event: MakeEvent, store: redis.Redis
) -> None:
    await opened(journeys, usage_event)
    look = journeys.billing.drift_audit.look
    assert await look() == await look() == []
    await store.set(KEY, 1_300_000_000)
    assert await look() == []
    assert await look() == [Adrift(NAME, 300_000_000)]
    await store.set(KEY, 400_000_000)
    assert await look() == []
    assert await look() == [Adrift(NAME, -600_000_000)]
    await store.set(KEY, 1_000_000_000)
    assert await look() == await look() == []


async def test_what_is_settled_and_soon_booked_is_no_drift(
    journeys: Any, usage_event: MakeEvent, store: redis.Redis
) -> None:
    await opened(journeys, usage_event)
    [epoch] = await store.mget("epoch")
    for number in range(3):
        await store.incrby(KEY, 500_000_000)
        assert await journeys.billing.drift_audit.look() == []
        await journeys.book([usage_event(f"later-{number}", cost="0.5", epoch=epoch)])
        assert await journeys.billing.drift_audit.look() == []


@pytest.mark.parametrize(("ahead", "is_shown"), [(50_000, False), (102_000, True)])
async def test_what_rounding_up_explains_is_no_drift(
    journeys: Any, usage_event: MakeEvent, store: redis.Redis, ahead: int, is_shown: bool
) -> None:
    await opened(journeys, usage_event)
    await store.incrby(KEY, ahead)
    await journeys.billing.drift_audit.look()
    assert bool(await journeys.billing.drift_audit.look()) is is_shown


async def test_nothing_is_compared_while_admission_is_closed(
    journeys: Any, usage_event: MakeEvent, store: redis.Redis
) -> None:
    await opened(journeys, usage_event)
    await store.flushall()
    assert await journeys.billing.drift_audit.look() == await journeys.billing.drift_audit.look() == []


async def test_an_operator_sees_which_counters_are_off_and_by_how_much(
    journeys: Any, usage_event: MakeEvent, store: redis.Redis
) -> None:
    await opened(journeys, usage_event)
    registry = CollectorRegistry()
    auditor = Auditor(journeys.billing, JobMetrics(registry), journeys.clock, 60)
    await store.set(KEY, 1_300_000_000)
    for _ in range(2):
        await auditor.audit_once()
    assert registry.get_sample_value("tollgate_billing_counters_adrift") == 1
    named = {"counter": "key:key-1:2026-11"}
    assert registry.get_sample_value("tollgate_billing_counter_drift_usd", named) == 0.3
    await store.set(KEY, 1_000_000_000)
    await auditor.audit_once()
    assert registry.get_sample_value("tollgate_billing_counters_adrift") == 0
    assert registry.get_sample_value("tollgate_billing_counter_drift_usd", named) is None
