"""Booking over a real Postgres: whatever is delivered, however often and by however many, the books are right."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from billing.consumers import usage_handler
from common.bus.consume import Received

MakeEvent = Callable[..., Any]
EXAMPLES = Path(__file__).parents[3] / "libs/common/contracts/usage.recorded.v1"

_FORGED = (
    "INSERT INTO ledger_entries (transaction_id, account, amount, kind, request_id, event_id, year, month,"
    " occurred_at, booked_at) VALUES (gen_random_uuid(), 'customer:key-1', 1, 'usage', 'r', gen_random_uuid(), 2026, 11,"
    " now(), now())"
)


async def customers(pool: Any) -> dict[str, Decimal]:
    rows = await pool.fetch(
        "SELECT account, sum(amount) AS sum FROM ledger_entries WHERE account LIKE 'customer:%' GROUP BY account"
    )
    return {row["account"].removeprefix("customer:"): row["sum"] for row in rows}


async def months(pool: Any) -> dict[str, tuple[Any, ...]]:
    rows = await pool.fetch(
        "SELECT api_key_id, sum(total_requests), sum(input_tokens), sum(output_tokens), sum(total_cost)"
        " FROM monthly_usage GROUP BY api_key_id"
    )
    return {row[0]: tuple(row)[1:] for row in rows}


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_the_ledger_is_the_tokens_times_their_price_whatever_is_delivered_how_often_in_which_order_by_how_many(
    journeys: Any, usage_event: MakeEvent, count: int
) -> None:
    chance = random.Random(20261121)
    events, expected = _calls(usage_event, chance, count)
    deliveries = events * 3
    chance.shuffle(deliveries)
    batches = [deliveries[start : start + 500] for start in range(0, len(deliveries), 500)]

    async def consume() -> None:
        while batches:
            await journeys.book(batches.pop())

    await asyncio.gather(*(consume() for _ in range(8)))

    pool = journeys.pool
    assert await months(pool) == expected
    assert await customers(pool) == {key: row[3] for key, row in expected.items()}
    assert await pool.fetchval("SELECT sum(amount) FROM ledger_entries") == 0
    assert await pool.fetchval("SELECT count(*) FROM usage_event_ids") == len(events)
    findings = await journeys.billing.audit()
    assert not any(findings.violations.values())


_PER_MILLION = {"openai": (30, 60), "groq": (Decimal("0.05"), Decimal("0.08")), "anthropic": (3, Decimal("15.125"))}


def _calls(usage_event: MakeEvent, chance: random.Random, count: int) -> tuple[list[Any], dict[str, tuple[Any, ...]]]:
    """So many events, finals and estimates of the same calls mixed, and each key's month as it must become: what its
    calls used, times the price."""
    events: list[Any] = []
    expected = {f"key-{number}": (0, 0, 0, Decimal(0)) for number in range(10)}
    while len(events) < count:
        key, request = f"key-{chance.randrange(10)}", f"request-{len(events)}"
        provider, tokens = chance.choice([*_PER_MILLION]), (chance.randrange(9999), chance.randrange(9999))
        cost = sum(Decimal(n) * rate for n, rate in zip(tokens, _PER_MILLION[provider], strict=True)) / 1_000_000
        place = {"api_key_id": key, "provider_type": provider}
        kinds = chance.choice([["final"], ["final"], ["estimated"], ["final", "estimated"]])
        if len(kinds) == 2:
            events.append(usage_event(request, kind="estimated", cost="0.123456789012", tokens=(7, 7), **place))
        events.append(usage_event(request, kind=kinds[0], cost=f"{cost:f}", tokens=tokens, **place))
        calls, read, written, owed = expected[key]
        expected[key] = (calls + 1, read + tokens[0], written + tokens[1], owed + cost)
    return events, expected


async def test_estimate_and_final_booked_at_the_same_moment_end_as_the_final(
    journeys: Any, usage_event: MakeEvent
) -> None:
    for attempt in range(20):
        request = f"request-{attempt}"
        await asyncio.gather(
            journeys.book([usage_event(request, kind="estimated", cost="0.5")]),
            journeys.book([usage_event(request, kind="final", cost="0.2")]),
        )
    assert await customers(journeys.pool) == {"key-1": Decimal("4.0")}
    assert (await months(journeys.pool))["key-1"] == (20, 200, 100, Decimal("4.0"))


async def test_every_example_of_the_contract_is_booked(journeys: Any) -> None:
    bodies = [path.read_bytes() for path in EXAMPLES.glob("example-*.json")]
    batch = [Received("usage.recorded.openai.key-1", body, str(at), at) for at, body in enumerate(bodies)]
    assert batch
    await usage_handler(journeys.billing)(batch)
    assert await journeys.pool.fetchval("SELECT count(*) FROM charges") == len(batch)


async def test_an_event_that_stands_twice_in_a_batch_is_booked_once(journeys: Any, usage_event: MakeEvent) -> None:
    event = usage_event("r", cost="0.2")
    await journeys.book([event, event])
    assert await customers(journeys.pool) == {"key-1": Decimal("0.2")}


async def test_more_decimals_than_twelve_are_kept(journeys: Any, usage_event: MakeEvent) -> None:
    await journeys.book([usage_event("r", cost="0.00000000000000000037")])
    assert await customers(journeys.pool) == {"key-1": Decimal("3.7E-19")}


async def test_a_batch_is_booked_whole_or_not_at_all(
    journeys: Any, usage_event: MakeEvent, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await owner.execute("ALTER TABLE charges ADD CHECK (request_id <> 'bad')")
    with pytest.raises(asyncpg.CheckViolationError):
        await journeys.book([usage_event("good"), usage_event("bad")])
    assert await customers(journeys.pool) == {}
    assert await journeys.pool.fetchval("SELECT count(*) FROM usage_event_ids") == 0


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger_entries SET amount = 0", "DELETE FROM ledger_entries", "TRUNCATE ledger_entries"]
)
async def test_the_ledger_cannot_be_rewritten_by_the_service(
    journeys: Any, usage_event: MakeEvent, statement: str
) -> None:
    await journeys.book([usage_event("r")])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await journeys.pool.execute(statement)


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger_entries SET amount = 0", "DELETE FROM ledger_entries", "TRUNCATE ledger_entries"]
)
async def test_the_ledger_cannot_be_rewritten_by_its_owner_either(
    journeys: Any, usage_event: MakeEvent, owner: asyncpg.Connection[asyncpg.Record], statement: str
) -> None:
    await journeys.book([usage_event("r")])
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await owner.execute(statement)


async def test_the_database_refuses_a_transaction_that_does_not_sum_to_zero(journeys: Any) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="does not sum to zero"):
        await journeys.pool.execute(_FORGED)


async def test_events_cannot_be_forgotten_by_the_service(journeys: Any, usage_event: MakeEvent) -> None:
    await journeys.book([usage_event("r")])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await journeys.pool.execute("DELETE FROM usage_event_ids")


async def test_billings_role_cannot_read_another_services_schema(
    journeys: Any, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await owner.execute("CREATE SCHEMA keyvault; CREATE TABLE keyvault.credentials (secret text)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await journeys.pool.fetch("SELECT * FROM keyvault.credentials")


async def test_the_auditor_finds_a_month_that_is_not_what_the_ledger_says(
    journeys: Any, usage_event: MakeEvent
) -> None:
    await journeys.book([usage_event("r", cost="0.2"), usage_event("s", api_key_id=None, cost="0.3")])
    assert not any((await journeys.billing.audit()).violations.values())
    await journeys.pool.execute("UPDATE monthly_usage SET total_cost = 0.1 WHERE api_key_id IS NULL")
    findings = await journeys.billing.audit()
    assert findings.violations["month_equals_ledger"] == 1
    assert [(off.booked, off.counted) for off in findings.months_off] == [(Decimal("0.3"), Decimal("0.1"))]


async def test_the_auditor_finds_lines_that_somebody_slipped_in(
    journeys: Any, usage_event: MakeEvent, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await journeys.book([usage_event("r")])
    await owner.execute("ALTER TABLE ledger_entries DISABLE TRIGGER USER")
    await owner.execute(_FORGED)
    assert (await journeys.billing.audit()).violations == {
        "transaction_sums_to_zero": 1,
        "ledger_sums_to_zero": 1,
        "month_equals_ledger": 1,
        "counter_equals_charges": 0,
        "provider_days_equal_ledger": 0,
        "statement_equals_ledger": 0,
    }
