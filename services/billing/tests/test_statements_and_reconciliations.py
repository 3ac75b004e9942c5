"""Months that are closed, and bills that are held against them, over real servers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from billing.domain.bills import BillUnreadable
from billing.domain.charges import Month
from billing.flows.reconciling import NothingToAccept
from common.actors import Actor

MakeEvent = Callable[..., Any]
Eventually = Callable[..., Awaitable[Any]]
OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)


def set_clock(journeys: Any, text: str) -> None:
    journeys.clock.advance((datetime.fromisoformat(text) - journeys.clock.now()).total_seconds())


async def statements(journeys: Any, month: Month) -> dict[str, tuple[Decimal, Decimal, Decimal, Decimal]]:
    rows = await journeys.billing.statements.page(month, None, None, 100)
    return {row.account: (row.usage, row.corrections, row.late, row.total) for row in rows}


async def test_a_month_is_closed_some_days_after_its_end_and_what_comes_later_stands_in_the_next(
    journeys: Any, usage_event: MakeEvent
) -> None:
    await journeys.book(
        [
            usage_event("a", kind="estimated", cost="5", period="2026-10"),
            usage_event("a", cost="4", period="2026-10"),
            usage_event("b", kind="estimated", cost="2", period="2026-10"),
            usage_event("c", cost="8"),
        ]
    )
    set_clock(journeys, "2026-11-03T23:59:59+00:00")
    assert await journeys.billing.statements.close_due() is None
    set_clock(journeys, "2026-11-04T00:00:00+00:00")
    assert await journeys.billing.statements.close_due() == OCTOBER
    assert await journeys.billing.statements.close_due() is None
    closed = {"customer:key-1": (7, -1, 0, 6), "provider:openai": (-7, 1, 0, -6)}
    assert await statements(journeys, OCTOBER) == closed
    await journeys.book(
        [usage_event("b", cost="2.5", period="2026-10"), usage_event("late", cost="1", period="2026-10")]
    )
    assert await statements(journeys, OCTOBER) == closed
    set_clock(journeys, "2026-12-04T00:00:00+00:00")
    assert await journeys.billing.statements.close_due() == NOVEMBER
    assert (await statements(journeys, NOVEMBER))["customer:key-1"] == (8, 0, Decimal("1.5"), Decimal("9.5"))
    assert not any((await journeys.billing.audit()).violations.values())


async def test_every_line_stands_in_one_statement(journeys: Any, usage_event: MakeEvent) -> None:
    await journeys.book([usage_event(cost="1", period=f"2026-{month:02}") for month in (7, 8, 10)])
    set_clock(journeys, "2026-12-10T00:00:00+00:00")
    closed = []
    while (month := await journeys.billing.statements.close_due()) is not None:
        closed.append(month)
    assert closed == [Month(2026, number) for number in (7, 8, 9, 10, 11)]
    total, lines = await journeys.pool.fetchrow("SELECT sum(total), sum(lines) FROM statements")
    assert (total, lines) == (0, await journeys.pool.fetchval("SELECT count(*) FROM ledger_entries"))


@pytest.mark.parametrize("table", ["statements", "closed_months"])
async def test_a_closed_statement_cannot_be_rewritten_by_anybody(
    journeys: Any, usage_event: MakeEvent, owner: asyncpg.Connection[asyncpg.Record], table: str
) -> None:
    await journeys.book([usage_event(cost="1", period="2026-10")])
    set_clock(journeys, "2026-11-21T00:00:00+00:00")
    await journeys.billing.statements.close_due()
    for statement in (f"UPDATE {table} SET year = 1", f"DELETE FROM {table}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await journeys.pool.execute(statement)
        with pytest.raises(asyncpg.RestrictViolationError, match="closed statement"):
            await owner.execute(statement)


async def test_the_auditor_finds_a_statement_that_is_not_what_the_ledger_says(
    journeys: Any, usage_event: MakeEvent, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await journeys.book([usage_event(cost="1", period="2026-10")])
    set_clock(journeys, "2026-11-21T00:00:00+00:00")
    await journeys.billing.statements.close_due()
    await owner.execute("ALTER TABLE statements DISABLE TRIGGER USER")
    await owner.execute("UPDATE statements SET usage = 2, total = 2 WHERE account = 'customer:key-1'")
    assert (await journeys.billing.audit()).violations["statement_equals_ledger"] == 1


def bill(amount: str, day: str = "2026-11-21", model: str = "gpt-4") -> str:
    return f"day,model,amount_usd\n{day},{model},{amount}\n"


async def test_accepted_drift_is_one_correction_and_is_booked_once(journeys: Any, usage_event: MakeEvent) -> None:
    tried = [
        {
            "provider": p,
            "model": m,
            "status": "completed",
            "http_status": 200,
            "latency_ms": 1,
            "usage": None,
            "cost_usd": c,
        }
        for p, m, c in (("groq", "llama", "0.5"), ("openai", "gpt-4", "1.5"))
    ]
    await journeys.book([usage_event(cost="2", attempts=tried), usage_event(cost="1", operator_cost="0.25")])
    await journeys.book([usage_event(cost="9", simulated=True), usage_event(cost="9", billable=False)])
    reconciling = journeys.billing.reconciling
    made, rows = await reconciling.upload(Actor("root"), "openai", "csv", bill("2.78"), with_simulated=False)
    assert (made.booked, made.drift, made.is_alarming, made.rows_off) == (Decimal("2.75"), Decimal("0.03"), True, 1)
    assert [(row.model, row.booked) for row in rows] == [("gpt-4", Decimal("2.75"))]
    await reconciling.accept(Actor("root"), made.id)
    with pytest.raises(NothingToAccept):
        await reconciling.accept(Actor("root"), made.id)
    lines = await journeys.pool.fetch("SELECT account, amount FROM ledger_entries WHERE kind = 'reconciliation'")
    assert {row["account"]: row["amount"] for row in lines} == {
        "operator:reconciliation": Decimal("0.03"),
        "provider:openai": Decimal("-0.03"),
    }
    assert not any((await journeys.billing.audit()).violations.values())
    told = await journeys.pool.fetch("SELECT body FROM outbox WHERE target = 'billing.reconciled' ORDER BY id")
    assert [json.loads(row["body"])["data"]["is_accepted"] for row in told] == [False, True]


async def test_a_bill_that_agrees_has_nothing_to_accept(journeys: Any, usage_event: MakeEvent) -> None:
    await journeys.book([usage_event(cost="2")])
    made, _ = await journeys.billing.reconciling.upload(Actor("root"), "openai", "csv", bill("2"), with_simulated=False)
    assert (made.drift, made.is_alarming, made.rows_off) == (0, False, 0)
    with pytest.raises(NothingToAccept):
        await journeys.billing.reconciling.accept(Actor("root"), made.id)


async def test_what_is_no_bill_leaves_nothing_behind(journeys: Any) -> None:
    with pytest.raises(BillUnreadable):
        await journeys.billing.reconciling.upload(Actor("root"), "openai", "csv", "nonsense", with_simulated=False)
    assert await journeys.pool.fetchval("SELECT count(*) FROM reconciliations") == 0


async def test_admins_reconcile_over_http_and_nobody_else_does(
    service: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    await service.publish(usage_event(cost="2"))
    path, admin = "/api/v1/billing/reconciliations", service.signed_in("root", "admin")
    body = {"provider_type": "openai", "format": "csv", "content": bill("2.5")}
    for method, where in (("POST", path), ("GET", path), ("GET", f"{path}/x"), ("POST", f"{path}/x/accept")):
        answer = await service.client.request(method, where, json=body, headers=service.signed_in("ann"))
        assert answer.status_code == 403

    async def booked() -> dict[str, Any]:
        answer = await service.client.post(path, json=body, headers=admin)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found if found["booked_usd"] != "0" else {}

    made = await eventually(booked)
    assert (made["drift_usd"], made["drift_percent"], made["is_alarming"]) == ("0.5", "25.0000", True)
    assert made["rows"][0]["drift_usd"] == "0.5"
    accepted = await service.client.post(f"{path}/{made['id']}/accept", headers=admin)
    assert (accepted.status_code, accepted.json()["accepted_by"]) == (200, "root")
    assert (await service.client.post(f"{path}/{made['id']}/accept", headers=admin)).status_code == 409
    listed = (await service.get(path))["items"]
    assert listed[0]["id"] == made["id"]
    assert listed[0]["rows"] is None
    ledger = (await service.get("/api/v1/billing/ledger"))["items"]
    assert {line["kind"] for line in ledger} == {"usage", "reconciliation"}
    unreadable = await service.client.post(path, json={**body, "content": "?"}, headers=admin)
    assert unreadable.status_code == 422
    many = await service.client.post(path, json={**body, "content": bill("999999999999")}, headers=admin)
    assert (many.status_code, many.json()["drift_percent"]) == (201, "49999999999850.0000")
    assert (await service.client.get(f"{path}/nothing", headers=admin)).status_code == 404


async def test_closed_statements_are_shown_to_those_whose_keys_they_are(
    service: Any, usage_event: MakeEvent, eventually: Eventually, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await service.publish(
        usage_event(cost="1", user_id="ann", api_key_id="key-a", period="2026-09"),
        usage_event(cost="2", user_id="bob", api_key_id="key-b", period="2026-09"),
    )

    async def is_booked() -> bool:
        return bool(await owner.fetchval("SELECT count(*) = 2 FROM charges"))

    await eventually(is_booked)
    now = datetime.now(UTC)
    await owner.execute("INSERT INTO closed_months VALUES (2026, 9, $1)", now)
    await owner.execute(
        "INSERT INTO statements SELECT 2026, 9, account, sum(amount), 0, 0, sum(amount), count(*)"
        " FROM ledger_entries GROUP BY account"
    )
    own = await service.get("/api/v1/billing/statements", "ann", "user")
    assert [(item["account"], item["total_usd"], item["period"]) for item in own["items"]] == [
        ("customer:key-a", "1", "2026-09")
    ]
    every = await service.get("/api/v1/billing/statements?period=2026-09&limit=2")
    more = await service.get(f"/api/v1/billing/statements?limit=2&cursor={every['next_cursor']}")
    accounts = [item["account"] for item in every["items"] + more["items"]]
    assert accounts == ["customer:key-a", "customer:key-b", "provider:openai"]
