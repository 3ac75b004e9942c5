"""The books rebuilt from the stream: they say what they said, or stay as they were."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import asyncpg
import pytest
from billing.domain.budgets import Setter
from billing.domain.counters import MONTHLY
from billing.flows.budgets import Wanted
from billing.flows.rebuilding import BooksDiffer, StreamTooShort
from common.actors import Actor
from common.contracts.envelope import event_headers

ROOT = Actor("root")

MakeEvent = Callable[..., Any]
Rebuild = Callable[[], Awaitable[Any]]

_LEDGER = (
    "SELECT request_id, account, kind, year, month, stated_year, stated_month, amount, event_id, occurred_at"
    " FROM ledger_entries ORDER BY request_id, account, kind, amount"
)


def calls(usage_event: MakeEvent) -> list[Any]:
    chance = random.Random(5)
    found = []
    for number in range(40):
        members = {"cost": f"0.{chance.randrange(10**12):012}", "api_key_id": f"key-{number % 3}", "tier": "trial"}
        period = chance.choice(["2026-10", "2026-11"])
        if number % 4 == 0:
            found.append(
                usage_event(f"r{number}", kind="estimated", cost="0.5", period=period, api_key_id=f"key-{number % 3}")
            )
        if number % 8:
            found.append(usage_event(f"r{number}", period=period, **members))
    return found


async def test_a_rebuilt_ledger_is_the_ledger(
    journeys: Any, usage_event: MakeEvent, rebuilt: Rebuild, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    events = calls(usage_event)
    await journeys.publish(*events)
    await journeys.bus.jetstream.publish("usage.recorded.openai.k", b"poison", headers=event_headers("poison"))
    made = await journeys.billing.budgets.set(
        Setter("root", is_admin=True), Wanted("global", None, MONTHLY, "hard", 1000, (50,)), None
    )
    await journeys.book(events[:20])
    journeys.clock.advance((datetime.fromisoformat("2026-11-21T09:00:00+00:00") - journeys.clock.now()).total_seconds())
    await journeys.billing.statements.close_due()
    await journeys.book(events[20:])
    bill, _ = await journeys.billing.reconciling.upload(
        ROOT, "openai", "csv", "day,model,amount_usd\n2026-11-21,gpt-4,100\n", with_simulated=False
    )
    await journeys.billing.reconciling.accept(ROOT, bill.id)
    before = [tuple(row) for row in await owner.fetch(_LEDGER)]
    spent = (await journeys.billing.budgets.one(Setter("root", is_admin=True), made.standing.budget.id)).spent
    assert any(row[5] for row in before), "nothing came late: the test shows less than it should"

    outcome = await rebuilt()

    assert outcome.events == len(events)
    assert [tuple(row) for row in await owner.fetch(_LEDGER)] == before
    assert (await journeys.billing.budgets.one(Setter("root", is_admin=True), made.standing.budget.id)).spent == spent
    assert not any((await journeys.billing.audit()).violations.values())
    await journeys.book(events)
    assert [tuple(row) for row in await owner.fetch(_LEDGER)] == before, "it knows again what it has booked"
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute("DELETE FROM ledger_entries")


async def test_books_that_somebody_changed_are_not_rebuilt_but_told_of(
    journeys: Any, usage_event: MakeEvent, rebuilt: Rebuild, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    events = calls(usage_event)
    await journeys.publish(*events)
    await journeys.book(events)
    await owner.execute("UPDATE monthly_usage SET total_cost = total_cost + 1 WHERE api_key_id = 'key-1'")
    before = [tuple(row) for row in await owner.fetch(_LEDGER)]
    with pytest.raises(BooksDiffer, match="monthly_usage"):
        await rebuilt()
    assert [tuple(row) for row in await owner.fetch(_LEDGER)] == before


async def test_what_the_stream_no_longer_has_is_not_thrown_away(
    journeys: Any, usage_event: MakeEvent, rebuilt: Rebuild
) -> None:
    await journeys.book([usage_event("r")])
    await journeys.pool.execute(
        "INSERT INTO usage_event_ids VALUES (gen_random_uuid(), -1, now())"
    )  # before the stream's
    await journeys.publish(usage_event("s"))
    with pytest.raises(StreamTooShort):
        await rebuilt()
    assert await journeys.pool.fetchval("SELECT count(*) FROM charges") == 1


async def test_an_event_that_was_not_booked_yet_is_left_to_the_consumer(
    journeys: Any, usage_event: MakeEvent, rebuilt: Rebuild
) -> None:
    await journeys.publish(usage_event("r"), usage_event("s"))
    assert (await rebuilt()).events == 0
