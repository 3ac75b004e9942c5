"""What happens to running calls when Redis loses what it held: nothing is let in until it is counted, nothing is counted
twice, and what was held is held again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from common.ids import UsageKind
from common.money import Money
from common.testing.serving import eventually
from desk import DOLLAR, Desk, open_desk
from gateway.leases import Leases, Settlement
from gateway.limits.limiter import Admitted, Refused
from gateway.mirrors.keys import ApiKey


@pytest_asyncio.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with open_desk(redis_url) as opened:
        yield opened


async def begun(desk: Desk, leases: Leases, key: ApiKey, request: str, nano: int = DOLLAR) -> Admitted:
    """A running call."""
    claim = desk.claim(key, request, nano)
    admitted = await desk.limiter.admit(claim)
    assert isinstance(admitted, Admitted)
    leases.begin(claim, admitted, lambda: 3)
    return admitted


async def test_an_epoch_of_another_server_is_closed(desk: Desk) -> None:
    key = desk.key()
    await desk.redis.set("epoch", f"e1@{desk.line.server}")
    assert (await desk.admitted(key, "r1")).epoch == f"e1@{desk.line.server}"
    await desk.redis.set("epoch", "e1@the-one-before-the-failover")
    assert await desk.admit(key, "r2") == Refused("closed")
    assert (await desk.limiter.renew([])).epoch == ""
    assert await desk.limiter.settle("r1", 1, 5, 1, "final", "e1@the-one-before-the-failover") == "late"


async def test_running_calls_are_held_again_before_anybody_is_admitted(desk: Desk) -> None:
    leases, key = Leases(desk.limiter), desk.key(monthly_budget=Money.of("3"), max_concurrency=5)
    desk.budget("global", "9")
    for number in range(2):
        await begun(desk, leases, key, f"r{number}")
    await leases._look()
    await desk.redis.flushall()
    await leases._look()
    assert await desk.money(desk.month()) == (0, 2 * DOLLAR)
    assert await desk.money("global:total") == (0, 2 * DOLLAR)
    assert await desk.redis.zcard("concurrency:key-1") == 2
    assert leases.held_again == 2
    assert isinstance(await desk.admit(key, "r9"), Refused)
    await desk.redis.set("epoch", "e2")
    await leases._look()
    assert await leases.assured("r0", 1) == ("e2", DOLLAR)
    assert await desk.money("global:total") == (0, 2 * DOLLAR)
    assert isinstance(await desk.admit(key, "r2"), Admitted)
    assert isinstance(await desk.admit(key, "r3"), Refused)
    assert await desk.limiter.settle("r0", 1, 7, 1, "final", "e2") == "settled"
    assert await desk.money("global:total") == (7, 2 * DOLLAR)


async def test_a_call_that_ended_in_an_old_epoch_adds_nothing_but_stays_counted_for_a_while(desk: Desk) -> None:
    leases, key = Leases(desk.limiter), desk.key(monthly_budget=Money.of("3"))
    await begun(desk, leases, key, "r1")
    await desk.redis.flushall()
    await leases._look()
    for _ in range(2):  # a settlement may be asked for twice
        await leases.settle(Settlement("r1", 1, 400, 10, "e1"))
        assert await desk.money(desk.month()) == (0, 400)
    await desk.redis.set("epoch", "e2")
    await leases.settle(Settlement("r1", 1, 400, 10, "e1"))
    assert await desk.money(desk.month()) == (0, 400)
    await desk.redis.zadd("holds", {"r1/1": 1})
    assert await desk.limiter.reap(10, 30) == []
    assert await desk.money(desk.month()) == (0, 0)
    assert await desk.redis.keys("hold*") == []


async def test_a_settlement_whose_hold_was_lost_adds_nothing(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1")
    await desk.redis.flushall()
    await desk.redis.set("epoch", "e2")
    assert await desk.limiter.settle("r1", 1, 400, 10, "final", "e1") == "known"
    assert await desk.redis.keys("cost:*") == []


async def test_what_is_written_again_too_late_changes_nothing(desk: Desk) -> None:
    leases, key = Leases(desk.limiter), desk.key()
    await begun(desk, leases, key, "r1")
    seen = await desk.limiter.renew([])
    await desk.redis.flushall()
    await asyncio.sleep(1.05)
    await leases._hold_again([("r1", 1)], seen)
    assert await desk.redis.keys("*") == []


async def test_a_reaped_call_is_held_again_only_as_far_as_there_is_room(desk: Desk) -> None:
    leases, key = Leases(desk.limiter), desk.key(monthly_budget=Money.of("3"))
    await begun(desk, leases, key, "r1", 2 * DOLLAR)
    await desk.redis.zadd("holds", {"r1/1": 1})
    [abandoned] = await desk.limiter.reap(10, 30)
    assert abandoned.epoch == "e1"
    await desk.limiter.settle("r1", 1, DOLLAR // 2, 3, "estimated", abandoned.epoch)
    assert await desk.money(desk.month()) == (DOLLAR // 2, 0)
    await begun(desk, leases, key, "r2", 2 * DOLLAR)
    await leases._look()
    assert await leases.assured("r1", 1) == ("e1", DOLLAR)  # the half that was counted, and the half that was left
    assert await desk.money(desk.month()) == (DOLLAR // 2, 2 * DOLLAR + DOLLAR // 2)
    assert await desk.limiter.settle("r1", 1, DOLLAR, 3, "final", "e1") == "settled"
    assert await desk.money(desk.month()) == (DOLLAR, 2 * DOLLAR)


async def test_a_late_final_adds_the_difference(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1")
    assert await desk.limiter.settle("r1", 1, 400, 3, "estimated", "e1") == "settled"
    assert await desk.limiter.settle("r1", 1, 300, 3, "final", "e1") == "corrected"
    assert await desk.limiter.settle("r1", 1, 300, 3, "final", "e1") == "known"
    assert await desk.money(desk.month()) == (300, 0)


async def test_a_late_final_of_an_old_epoch_is_billing_s(desk: Desk) -> None:
    await desk.admitted(desk.key(), "r1")
    assert await desk.limiter.settle("r1", 1, 400, 3, "estimated", "e1") == "settled"
    await desk.redis.set("epoch", "e2")
    assert await desk.limiter.settle("r1", 1, 300, 3, "final", "e1") == "late"
    assert await desk.money(desk.month()) == (400, 0)


async def test_reaped_twice_it_is_counted_once(desk: Desk) -> None:
    leases, key = Leases(desk.limiter), desk.key()
    await begun(desk, leases, key, "r1")
    await desk.limiter.settle("r1", 1, 400, 3, "estimated", "e1")
    await leases._look()
    assert await desk.money(desk.month()) == (400, DOLLAR - 400)
    await desk.limiter.settle("r1", 1, 500, 3, "estimated", "e1")
    assert await desk.money(desk.month()) == (400, 0)
    assert await desk.limiter.settle("r1", 1, 700, 3, "final", "e1") == "corrected"
    assert await desk.money(desk.month()) == (700, 0)


async def test_what_may_have_been_admitted_without_an_answer_is_freed(desk: Desk) -> None:
    leases, key = Leases(desk.limiter), desk.key()
    await desk.admitted(key, "r1")
    leases.never_sent("r1", 1)
    leases.never_sent("r2", 1)
    task = asyncio.create_task(leases.run())
    await eventually(lambda: _is_settled(leases))
    task.cancel()
    assert await desk.money(desk.month()) == (0, 0)
    assert await desk.redis.keys("hold:*") == []


async def _is_settled(leases: Leases) -> bool:
    return not leases.unsettled


@pytest.mark.parametrize("paused_seconds", [0, 31])
async def test_a_gateway_that_was_held_up_looks_after_its_hold_before_it_charges(
    desk: Desk, paused_seconds: float
) -> None:
    leases, key = Leases(desk.limiter), desk.key(monthly_budget=Money.of("1"))
    await begun(desk, leases, key, "r1")
    await desk.limiter.settle("r1", 1, 100, 3, "estimated", "e1")
    await desk.admitted(key, "r2", DOLLAR - 100)
    leases._running["r1", 1].ends_at -= paused_seconds
    covered = 100 if paused_seconds else DOLLAR
    assert await leases.assured("r1", 1) == ("e1", covered)


async def restored(desk: Desk, counted_nano: int) -> None:
    """What billing does after a loss, as far as call r1 is concerned, which it knows as an estimate: its month's counter,
    the mark of what was counted, the epoch."""
    await desk.redis.set(f"cost:{desk.month()}", counted_nano)
    await desk.redis.hset("reaped:r1/1", mapping={"cost": counted_nano, "counters": desk.month()})
    await desk.redis.set("epoch", "e2")


async def reaped(desk: Desk, leases: Leases, key: ApiKey) -> None:
    """Call r1 is taken for abandoned, and Redis emptied."""
    await begun(desk, leases, key, "r1")
    await desk.limiter.settle("r1", 1, 400, 3, "estimated", "e1")
    await desk.redis.flushall()


@pytest.mark.parametrize("is_seen_closed", [True, False])
async def test_a_reaped_call_that_comes_back_after_a_loss_is_counted_once(desk: Desk, is_seen_closed: bool) -> None:
    leases, key = Leases(desk.limiter), desk.key(monthly_budget=Money.of("3"))
    await reaped(desk, leases, key)
    if is_seen_closed:  # held in full, since nobody can tell yet that it was reaped
        await leases._look()
        assert await desk.money(desk.month()) == (0, DOLLAR)
    await restored(desk, 400)
    await leases._look()
    assert await leases.assured("r1", 1) == ("e2", DOLLAR)
    assert await desk.money(desk.month()) == (400, DOLLAR - 400)
    for _ in range(2):  # its gateway settles it, and billing asks for that again, since it was told twice
        await desk.limiter.settle("r1", 1, 700, 3, "final", "e2")
        assert await desk.money(desk.month()) == (700, 0)
    assert await desk.redis.keys("hold*") == []


async def test_a_reaped_call_that_comes_back_after_a_loss_has_the_room_that_others_left(desk: Desk) -> None:
    leases, key = Leases(desk.limiter), desk.key(monthly_budget=Money.of("1"))
    await reaped(desk, leases, key)
    await leases._look()
    await restored(desk, 400)
    await desk.redis.incrby(f"cost:{desk.month()}", DOLLAR - 500)  # of others, since r1 was reaped
    await leases._look()
    assert await leases.assured("r1", 1) == ("e2", 500)
    assert await desk.money(desk.month()) == (DOLLAR - 100, 100)


@pytest.mark.parametrize("kind", ["final", "estimated"])
async def test_what_is_settled_before_it_is_held_anew_is_counted_once(desk: Desk, kind: UsageKind) -> None:
    """Held in full while admission was closed; then its gateway ends it, or is lost and another reaps it again."""
    leases, key = Leases(desk.limiter), desk.key(monthly_budget=Money.of("3"))
    await reaped(desk, leases, key)
    await leases._look()
    await restored(desk, 400)
    await desk.limiter.settle("r1", 1, 700, 3, kind, "e2")
    assert await desk.money(desk.month()) == (700 if kind == "final" else 400, 0)
    await desk.limiter.settle("r1", 1, 700, 3, "final", "e2")
    assert await desk.money(desk.month()) == (700, 0)
