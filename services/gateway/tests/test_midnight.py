"""Calls that go on past midnight: all their attempts count in the day in which the first of them was admitted.

Redis' clock decides which day it is, so it is its clock that is turned here: the scripts read it from a key, where one is.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import pytest_asyncio
from common.money import Money
from common.testing.serving import eventually
from desk import DOLLAR, Desk, open_desk
from gateway.limits.limiter import Limiter, Refused, read_scripts
from gateway_stack import KEY_ID, Stack
from test_budgets import put_budget

MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)
_TIME = b"redis.call('TIME')"
_TURNED = b"((redis.call('GET', 'tests:now') and { redis.call('GET', 'tests:now'), '0' }) or redis.call('TIME'))"


def turned_scripts() -> dict[str, tuple[str, bytes]]:
    """The scripts, by the clock of the tests."""
    texts = {name: text.replace(_TIME, _TURNED) for name, (_, text) in read_scripts().items()}
    return {name: (hashlib.sha1(text, usedforsecurity=False).hexdigest(), text) for name, text in texts.items()}


@pytest_asyncio.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with open_desk(redis_url) as opened:
        opened.limiter = Limiter(opened.line, turned_scripts(), opened.clock)
        yield opened


@pytest.fixture
def _turned_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is started now goes by the clock of the tests."""
    monkeypatch.setattr("gateway.main.read_scripts", turned_scripts)


async def turn(desk: Desk | Stack, seconds: float) -> None:
    """Set the clock to so many seconds after midnight."""
    await desk.redis.set("tests:now", int((MIDNIGHT + timedelta(seconds=seconds)).timestamp()))


async def test_two_paid_attempts_count_in_one_day_and_month(desk: Desk) -> None:
    desk.budget("global", "3", period="daily")
    desk.budget("provider:groq", "3", period="daily", zone="Europe/Berlin")
    key = desk.key(monthly_budget=Money.of("9"))
    await turn(desk, -1)
    first = await desk.admitted(key, "r1")
    await desk.limiter.settle("r1", 1, 400, 10, "final", "e1")
    await turn(desk, 1)
    second = await desk.admitted(key, "r1", attempt=2, place=("groq", "gpt-4"), began_ms=first.at_ms)
    assert first.counters.names == ("key:key-1:2026-11", "global:2026-11-30")
    assert second.counters.names == (*first.counters.names, "provider:groq:2026-12-01@Europe/Berlin")
    await desk.limiter.settle("r1", 2, 500, 10, "final", "e1")
    assert await desk.money("key-1:2026:11") == await desk.money("global:2026-11-30") == (900, 0)
    assert await desk.money("provider:groq:2026-12-01@Europe/Berlin") == (500, 0)
    assert {name.decode() for name in await desk.redis.keys("cost:*")} == {
        "cost:key-1:2026:11", "cost:global:2026-11-30", "cost:provider:groq:2026-12-01@Europe/Berlin",
    }  # fmt: skip


async def test_the_day_that_a_call_began_in_has_to_have_room_for_its_later_attempts(desk: Desk) -> None:
    desk.budget("global", "3", period="daily")
    key = desk.key()
    await turn(desk, -1)
    first = await desk.admitted(key, "r1")
    await desk.admitted(key, "r2", 2 * DOLLAR)
    await turn(desk, 1)
    refused = await desk.admit(key, "r1", 2 * DOLLAR, attempt=2, began_ms=first.at_ms)
    assert isinstance(refused, Refused)
    assert refused.why == "budget"
    assert (await desk.admitted(key, "r3")).counters.names[1] == "global:2026-12-01"


@pytest.mark.usefixtures("_turned_clock")
class TestAtTheGateway:
    """The whole way: a call that is refused before midnight and answered by another deployment after it."""

    async def test_a_call_that_goes_on_after_midnight_is_of_the_day_before(self, stack: Stack) -> None:
        await put_budget(stack, "global", "5")
        await turn(stack, -1)
        async with httpx2.AsyncClient(base_url=os.environ["SIMULATOR_URL"]) as control:
            rule = {"provider": "openai", "count": 1, "directives": {"status": 503, "held": "midnight"}}
            await control.post("/control/faults", json=rule)
            calling = asyncio.create_task(stack.chat(model="with-fallback", max_tokens=5))

            async def is_held() -> bool:
                return bool(int(await stack.redis.get("held:global:2026-11-30") or 0))

            await eventually(is_held)
            await turn(stack, 1)
            await stack.let_go("midnight")
            answer = await calling
            await control.delete("/control/faults")
        assert answer.status_code == 200, answer.text
        await stack.chat(max_tokens=5)
        before, after = sorted(await stack.events(2), key=lambda event: event.period)
        assert [attempt.status for attempt in before.attempts] == ["failed", "completed"]
        assert before.period == "2026-11"
        assert before.budgets == (f"key:{KEY_ID}:2026-11", "global:2026-11-30")
        assert after.budgets == (f"key:{KEY_ID}:2026-12", "global:2026-12-01")
        for event in (before, after):
            spent = await stack.redis.get(f"cost:{event.budgets[1]}")
            assert int(spent) == event.cost_usd.to_nano_ceiling() > 0
