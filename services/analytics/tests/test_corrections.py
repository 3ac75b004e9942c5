"""What re-ratings changed: in the rollups once, whenever and however often it is told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from analytics.consumers import rerated_handler
from common.bus.consume import Received
from common.contracts.billing import CALLS_RERATED
from common.ids import derived_id

MakeEvent = Callable[..., Any]


def rerated(rerating_id: str, **changes: str) -> bytes:
    """The event of a re-rating: by request, by how much its cost changed."""
    calls = ", ".join(
        f'{{"request_id": "{request}", "cost_change_usd": "{change}", "operator_cost_change_usd": "0"}}'
        for request, change in changes.items()
    )
    told = derived_id("rerated", rerating_id, *changes)
    return (
        f'{{"specversion": "1.0", "id": "{told}", "source": "/billing", "type": "{CALLS_RERATED}",'
        f' "time": "2026-11-21T08:43:10.5Z", "datacontenttype": "application/json",'
        f' "data": {{"rerating_id": "{rerating_id}", "calls": [{calls}]}}}}'
    ).encode()


async def hear(journeys: Any, *bodies: bytes) -> None:
    received = [Received("billing.rerated", body, f"e-{at}", at) for at, body in enumerate(bodies)]
    await rerated_handler(journeys.analytics)(received)


async def costs(journeys: Any) -> dict[str, Decimal]:
    models, _ = await journeys.analytics.costs("user-1", 365)
    return {one.model: one.cost for one in models}


STEPS = ("usage", "first", "second", "usage again", "first again")


@pytest.mark.parametrize("order", [" then ".join(order) for order in itertools.permutations(STEPS)])
async def test_in_whatever_order_it_is_told_each_rerating_counts_once(
    journeys: Any, usage_event: MakeEvent, order: str
) -> None:
    calls = [usage_event("r1", cost_usd="0.6"), usage_event("r2", cost_usd="0.5", model="other")]
    for step in order.split(" then "):
        match step.removesuffix(" again"):
            case "usage":
                await journeys.log(calls)
            case "first":
                await hear(journeys, rerated("first", r1="-0.55", r2="0.1"))
            case "second":
                await hear(journeys, rerated("second", r1="0.2"))
    assert await costs(journeys) == {"gpt-4": Decimal("0.25"), "other": Decimal("0.6")}


@pytest.mark.parametrize(
    "order", [" then ".join(order) for order in itertools.permutations(("estimate", "final", "correction"))]
)
async def test_a_correction_is_of_the_final(journeys: Any, usage_event: MakeEvent, order: str) -> None:
    told = {
        kind: usage_event("r1", kind=kind, cost_usd=cost, started_at=at)
        for kind, cost, at in (
            ("estimated", "0.9", "2026-11-21T08:59:59.999Z"), ("final", "0.6", "2026-11-21T09:00:00Z"),
        )
    }  # fmt: skip
    for step in order.split(" then "):
        if step == "correction":
            await hear(journeys, rerated("first", r1="-0.5"))
        else:
            await journeys.log([told["estimated" if step == "estimate" else "final"]])
    assert await costs(journeys) == {"gpt-4": Decimal("0.1")}
    hours = await journeys.pool.fetch("SELECT hour, cost FROM rollups_hourly WHERE cost <> 0")
    assert [(row["hour"], row["cost"]) for row in hours] == [(datetime(2026, 11, 21, 9, tzinfo=UTC), Decimal("0.1"))]


async def test_calls_and_corrections_that_come_at_the_same_time_are_all_counted(
    journeys: Any, usage_event: MakeEvent
) -> None:
    calls = [usage_event(f"r{number}", cost_usd="0.1") for number in range(60)]
    await asyncio.gather(
        *(journeys.log(calls[start : start + 10]) for start in range(0, 60, 10)),
        *(hear(journeys, rerated("first", **{f"r{number}": "0.01"})) for number in range(60)),
        *(journeys.log(calls[start : start + 10]) for start in range(0, 60, 10)),
    )
    assert await costs(journeys) == {"gpt-4": Decimal("6.6")}


async def test_a_correction_of_a_call_that_never_comes_counts_nowhere(journeys: Any) -> None:
    await hear(journeys, rerated("first", gone="0.2"))
    assert await costs(journeys) == {}
