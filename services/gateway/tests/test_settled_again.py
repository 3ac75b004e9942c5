"""A gateway that died between telling of a call and settling it: whatever a reaper and billing do after it, and in whatever
order, what stands as spent is what the final event says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from common.contracts.resettlements import Resettlement
from common.contracts.topology import SETTLE_AGAIN_KEY
from desk import DOLLAR, Desk, open_desk
from gateway.waiting import settle_again

FINAL = Resettlement(request_id="r1", attempt=1, cost_nano=600, tokens=15, epoch="e1")


@pytest_asyncio.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with open_desk(redis_url) as opened:
        yield opened


async def asked(desk: Desk, *wanted: Resettlement) -> None:
    """Billing asks."""
    await desk.redis.rpush(SETTLE_AGAIN_KEY, *[one.model_dump_json() for one in wanted])


async def test_the_estimate_of_a_call_that_was_told_gives_way_to_its_final(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1")
    await desk.limiter.settle("r1", 1, 900, 22, "estimated", "e1")
    assert await desk.money(desk.month()) == (900, 0)
    await asked(desk, FINAL)
    assert await settle_again(desk.line, desk.limiter) == 1
    assert await desk.money(desk.month()) == (600, 0)
    assert await desk.redis.exists(SETTLE_AGAIN_KEY) == 0


STEPS = ("reaper", "gateway", "asked", "asked again")


@pytest.mark.parametrize("order", [" then ".join(order) for order in itertools.permutations(STEPS)])
async def test_in_whatever_order_they_come_the_final_stands(desk: Desk, order: str) -> None:
    await desk.admitted(desk.key(), "r1")
    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "reaper": lambda: desk.limiter.settle("r1", 1, 900, 22, "estimated", "e1"),
        "gateway": lambda: desk.limiter.settle("r1", 1, 600, 15, "final", "e1"),
        "asked": lambda: settle_again(desk.line, desk.limiter),
        "asked again": lambda: settle_again(desk.line, desk.limiter),
    }
    for step in order.split(" then "):
        await asked(desk, FINAL)
        await steps[step]()
    assert await desk.money(desk.month()) == (600, 0)
    assert await desk.redis.keys("hold*") == []


async def test_what_was_counted_in_another_epoch_is_left_alone(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1")
    await desk.limiter.settle("r1", 1, 900, 22, "estimated", "e1")
    await desk.redis.set("epoch", "e2")
    for epoch in ("e1", ""):
        await asked(desk, FINAL.model_copy(update={"epoch": epoch}))
        await settle_again(desk.line, desk.limiter)
    assert await desk.money(desk.month()) == (900, 0)


async def test_what_cannot_be_read_stands_in_nobody_s_way(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1", DOLLAR)
    await desk.redis.rpush(SETTLE_AGAIN_KEY, b"no settlement", b'{"request_id": "r1"}')
    await asked(desk, FINAL)
    assert await settle_again(desk.line, desk.limiter) == 3
    assert await desk.money(desk.month()) == (600, 0)


async def test_two_gateways_that_take_the_same_entry_settle_it_once(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1")
    await asked(desk, FINAL, FINAL)
    await asyncio.gather(settle_again(desk.line, desk.limiter), settle_again(desk.line, desk.limiter))
    assert await desk.money(desk.month()) == (600, 0)
    assert await desk.redis.exists(SETTLE_AGAIN_KEY) == 0
