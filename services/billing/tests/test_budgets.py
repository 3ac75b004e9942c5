"""Budgets over real servers: set, counted, told, ended; nobody sees or changes another's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
import redis.asyncio as redis
from billing.domain.budgets import Setter
from billing.domain.counters import Span
from billing.flows.budgets import Wanted
from common.contracts.snapshots import BudgetSnapshot, KeySnapshot

MakeEvent = Callable[..., Any]
Eventually = Callable[..., Awaitable[Any]]
ANN, ADMIN = Setter("ann", is_admin=False), Setter("root", is_admin=True)
DAY = "2026-11-21"


def wanted(limit: str = "10", **changes: Any) -> Wanted:
    plain = {
        "scope": "user",
        "scope_id": None,
        "span": Span("daily", "UTC"),
        "mode": "hard",
        "thresholds": (50, 80, 100),
    }
    return Wanted(**{**plain, "limit": Decimal(limit), **changes})


async def events_told(pool: Any) -> list[dict[str, Any]]:
    """What waits in the outbox for stream BILLING."""
    rows = await pool.fetch("SELECT body FROM outbox WHERE target = 'billing.budget.threshold' ORDER BY id")
    return [json.loads(row["body"])["data"] for row in rows]


async def spent(journeys: Any, budget_id: str) -> Decimal:
    total: Decimal = (await journeys.billing.budgets.one(ADMIN, budget_id)).spent
    return total


async def test_calls_from_before_a_budget_was_made_count_and_only_those_of_its_scope_and_period(
    journeys: Any, usage_event: MakeEvent, redis_url: str
) -> None:
    await journeys.book(
        [
            usage_event(user_id="ann", cost="1", started_at=f"{DAY}T00:00:00Z"),
            usage_event(user_id="ann", cost="2", started_at="2026-11-20T23:59:59.999Z"),
            usage_event(user_id="bob", cost="4", started_at=f"{DAY}T01:00:00Z"),
            usage_event(user_id="ann", cost="8", started_at=f"{DAY}T01:00:00Z", status="tracked", billable=False),
        ]
    )
    made = await journeys.billing.budgets.set(ANN, wanted(), None)
    assert (made.is_created, made.standing.spent, made.standing.remaining) == (True, 9, 1)
    await journeys.billing.others.tell()
    client = redis.from_url(redis_url, decode_responses=True)
    assert await client.hget(f"other:user:ann:{DAY}", "total") == "9000000000"
    await client.aclose()


async def test_what_is_booked_later_counts_once_whoever_settled_it(
    journeys: Any, usage_event: MakeEvent, redis_url: str
) -> None:
    await journeys.billing.admission.keep_open()
    made = await journeys.billing.budgets.set(ANN, wanted(), None)
    name = f"user:ann:{DAY}"
    admitted = usage_event("r", user_id="ann", cost="1", budgets=[name], started_at=f"{DAY}T08:00:00Z")
    running = usage_event("s", user_id="ann", cost="2", started_at=f"{DAY}T08:00:00Z")
    await journeys.book([admitted, running])
    await journeys.book([admitted, running])
    await journeys.billing.others.tell()
    client = redis.from_url(redis_url, decode_responses=True)
    assert await client.hget(f"other:{name}", "total") == "2000000000"
    await client.aclose()
    assert await spent(journeys, made.standing.budget.id) == 3


@pytest.mark.parametrize(
    ("scope", "scope_id", "expected"),
    [
        ("global", None, "15"),
        ("provider", "openai", "9"),
        ("model", "openai/gpt-4", "5"),
        ("key", "key-1", "3"),
        ("team", "team-1", "4"),
        ("user", "ann", "3"),
    ],
)
async def test_every_scope_counts_its_own_calls_before_and_after_it_was_asked_for(
    journeys: Any, usage_event: MakeEvent, scope: str, scope_id: str | None, expected: str
) -> None:
    def calls() -> list[Any]:
        return [
            usage_event(
                user_id="ann",
                cost="3",
                api_key_id="key-1",
                attempts=_attempts(("groq", "x", "2"), ("openai", "gpt-4", "1")),
            ),
            usage_event(
                user_id="bob",
                cost="4",
                api_key_id="key-2",
                team_id="team-1",
                attempts=_attempts(("openai", "gpt-4", "4")),
            ),
            usage_event(
                user_id="bob",
                cost="8",
                api_key_id="key-2",
                attempts=_attempts(("openai", "gpt-4o", "4"), ("groq", "x", "4")),
            ),
        ]

    await journeys.book(calls())
    made = await journeys.billing.budgets.set(
        ADMIN, wanted("100", scope=scope, scope_id=scope_id, span=Span("monthly", "UTC")), None
    )
    assert made.standing.spent == Decimal(expected)
    await journeys.book(calls())
    assert await spent(journeys, made.standing.budget.id) == 2 * Decimal(expected)


def _attempts(*tried: tuple[str, str, str]) -> list[dict[str, Any]]:
    shared = {"status": "completed", "http_status": 200, "latency_ms": 1, "usage": None}
    return [{"provider": p, "model": m, "cost_usd": cost, **shared} for p, m, cost in tried]


async def test_a_users_budget_for_a_provider_counts_that_users_calls_only(
    journeys: Any, usage_event: MakeEvent
) -> None:
    made = await journeys.billing.budgets.set(ANN, wanted(scope="provider", scope_id="openai"), None)
    await journeys.book([usage_event(user_id=user, cost="1") for user in ("ann", "bob")])
    assert await spent(journeys, made.standing.budget.id) == 1


async def test_setting_again_changes_and_keeps_what_was_spent(journeys: Any, usage_event: MakeEvent) -> None:
    first = await journeys.billing.budgets.set(ANN, wanted("10"), None)
    await journeys.book([usage_event(user_id="ann", cost="2.5")])
    again = await journeys.billing.budgets.set(ANN, wanted("5", mode="soft"), None)
    assert (again.is_created, again.standing.budget.id) == (False, first.standing.budget.id)
    assert (again.standing.spent, again.standing.budget.percentage(again.standing.spent)) == (Decimal("2.5"), 50)
    [row] = await journeys.pool.fetch("SELECT body FROM outbox WHERE kind = 'snapshot' ORDER BY id DESC LIMIT 1")
    snapshot = BudgetSnapshot.model_validate_json(row["body"])
    assert (snapshot.scope, snapshot.mode, str(snapshot.limit)) == ("user:ann", "soft", "5")


async def test_each_threshold_is_told_once_even_when_several_are_passed_at_once(
    journeys: Any, usage_event: MakeEvent
) -> None:
    await journeys.billing.budgets.set(ANN, wanted("10", thresholds=(10, 50, 80, 100)), None)
    for cost in ("4.9", "3.2"):  # 10 %; then 50 and 80 % at once
        event = usage_event(user_id="ann", cost=cost)
        await journeys.book([event])
        await journeys.book([event])
    assert [told["percent"] for told in await events_told(journeys.pool)] == [10, 50, 80]
    await asyncio.gather(*(journeys.book([usage_event(user_id="ann", cost="1")]) for _ in range(8)))
    told = await events_told(journeys.pool)
    assert [one["percent"] for one in told] == [10, 50, 80, 100]
    assert (told[2]["spent_usd"], told[2]["period"], told[2]["scope"]) == ("8.1", DAY, "user:ann")


async def test_thresholds_that_are_passed_already_are_told_when_a_budget_is_set(
    journeys: Any, usage_event: MakeEvent
) -> None:
    await journeys.book([usage_event(user_id="ann", cost="6")])
    assert await events_told(journeys.pool) == []
    await journeys.billing.budgets.set(ANN, wanted("10"), None)
    await journeys.billing.budgets.set(ANN, wanted("7"), None)
    assert [told["percent"] for told in await events_told(journeys.pool)] == [50, 80]


async def test_a_budget_that_ends_is_counted_afresh_when_it_comes_again(journeys: Any, usage_event: MakeEvent) -> None:
    made = await journeys.billing.budgets.set(ANN, wanted(), None)
    await journeys.book([usage_event(user_id="ann", cost="1")])
    await journeys.billing.budgets.end(ANN, made.standing.budget.id)
    await journeys.book([usage_event(user_id="ann", cost="2")])
    again = await journeys.billing.budgets.set(ANN, wanted(), None)
    assert again.standing.spent == 3


async def test_bookings_and_the_making_of_a_budget_at_the_same_moment_miss_and_double_nothing(
    journeys: Any, usage_event: MakeEvent
) -> None:
    batches = [[usage_event(user_id="ann", cost="0.01") for _ in range(20)] for _ in range(12)]
    made, *_ = await asyncio.gather(
        journeys.billing.budgets.set(ANN, wanted(), None), *(journeys.book(batch) for batch in batches)
    )
    assert await spent(journeys, made.standing.budget.id) == Decimal("2.40")


# --- over HTTP -----------------------------------------------------------------------------------------------------------


async def ask(service: Any, method: str, path: str, who: str = "ann", body: Any = None, role: str = "user") -> Any:
    return await service.client.request(method, path, json=body, headers=service.signed_in(who, role))


async def test_the_reference_example_makes_a_monthly_budget(service: Any, eventually: Eventually) -> None:
    answer = await ask(service, "POST", "/api/budgets", body={"limit": 100.0, "period": "monthly"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["x-tollgate-revision"].startswith("budgets=")
    assert made == (await ask(service, "GET", "/api/budgets")).json()[0]
    assert {
        name: made[name]
        for name in ("scope", "scope_id", "limit", "period", "mode", "spent", "reserved", "remaining", "percentage")
    } == {
        "scope": "user",
        "scope_id": "ann",
        "limit": 100.0,
        "period": "monthly",
        "mode": "hard",
        "spent": 0.0,
        "reserved": 0.0,
        "remaining": 100.0,
        "percentage": 0.0,
    }
    assert made["resets_at"].endswith("-01T00:00:00Z")
    bucket = await service.bus.jetstream.key_value("budgets")
    snapshot = BudgetSnapshot.model_validate_json((await bucket.get(made["id"])).value)
    assert (snapshot.scope, snapshot.owner_user_id, str(snapshot.limit)) == ("user:ann", "ann", "100")
    changed = await ask(service, "POST", "/api/budgets", body={"limit": 50, "period": "monthly"})
    assert (changed.status_code, changed.json()["id"], changed.json()["limit"]) == (200, made["id"], 50.0)
    assert (await ask(service, "DELETE", f"/api/budgets/{made['id']}")).status_code == 204
    assert (await ask(service, "GET", "/api/budgets")).json() == []


async def test_what_running_calls_hold_is_shown_as_reserved(service: Any, redis_url: str) -> None:
    made = (await ask(service, "POST", "/api/budgets", body={"limit": 1, "period": "total"})).json()
    client = redis.from_url(redis_url)
    await client.set("held:user:ann:total", 250_000_000)
    await client.aclose()
    shown = (await ask(service, "GET", f"/api/budgets/{made['id']}")).json()
    assert (shown["reserved"], shown["remaining"], shown["resets_at"]) == (0.25, 0.75, None)


async def test_nobody_sees_or_ends_anothers_budget_and_admins_do(service: Any) -> None:
    made = (await ask(service, "POST", "/api/budgets", body={"limit": 1})).json()
    for method in ("GET", "DELETE"):
        assert (await ask(service, method, f"/api/budgets/{made['id']}", "bob")).status_code == 404
    assert (await ask(service, "GET", "/api/budgets", "bob")).json() == []
    assert [item["id"] for item in (await ask(service, "GET", "/api/budgets", "root", role="admin")).json()] == [
        made["id"]
    ]
    assert (await ask(service, "DELETE", f"/api/budgets/{made['id']}", "root", role="admin")).status_code == 204


async def test_a_budget_that_an_admin_sets_for_a_user_is_seen_and_not_ended_by_them(service: Any) -> None:
    body = {"limit": 1, "scope_id": "ann"}
    made = (await ask(service, "POST", "/api/budgets", "root", body, "admin")).json()
    assert [item["id"] for item in (await ask(service, "GET", "/api/budgets")).json()] == [made["id"]]
    assert (await ask(service, "DELETE", f"/api/budgets/{made['id']}")).status_code == 403


async def test_users_budget_their_own_keys_and_no_others(service: Any, eventually: Eventually) -> None:
    keys = await service.bus.jetstream.key_value("keys")
    for key, user in (("key-a", "ann"), ("key-b", "bob")):
        await keys.put(key, KeySnapshot(id=key, name=key, secrets=(), user_id=user).model_dump_json().encode())

    async def known() -> bool:
        answer = await ask(service, "POST", "/api/budgets", body={"limit": 1, "scope": "key", "scope_id": "key-a"})
        return bool(answer.status_code in (200, 201))

    await eventually(known)
    refused = await ask(service, "POST", "/api/budgets", body={"limit": 1, "scope": "key", "scope_id": "key-b"})
    assert refused.status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"limit": -1}, 422),
        ({"limit": 9_000_001}, 422),
        ({"limit": "NaN"}, 422),
        ({"limit": 1, "period": "yearly"}, 422),
        ({"limit": 1, "zone": "Europe/Nowhere"}, 422),
        ({"limit": 1, "zone": "../../etc/passwd"}, 422),
        ({"limit": 1, "thresholds": [0]}, 422),
        ({"limit": 1, "colour": "red"}, 422),
        ({"limit": 1, "scope": "model", "scope_id": "gpt-4"}, 422),
        ({"limit": 1, "scope": "provider"}, 422),
        ({"limit": 1, "scope": "global"}, 403),
        ({"limit": 1, "scope": "team", "scope_id": "t"}, 403),
        ({"limit": 1, "scope_id": "bob"}, 404),
    ],
)
async def test_what_cannot_be_a_budget_is_refused(service: Any, body: dict[str, Any], status: int) -> None:
    answer = await ask(service, "POST", "/api/budgets", body=body)
    assert answer.status_code == status, answer.text


async def test_who_is_not_signed_in_sees_no_budget(service: Any) -> None:
    assert (await service.client.get("/api/budgets")).status_code == 401


async def test_a_threshold_that_is_passed_is_published(
    service: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    await ask(service, "POST", "/api/budgets", body={"limit": 1, "period": "total"})
    await service.publish(usage_event(user_id="ann", cost="0.85"))

    async def told() -> int:
        return int((await service.bus.jetstream.stream_info("BILLING")).state.messages)

    await eventually(lambda: _is(told, 2))
    message = await service.bus.jetstream.get_msg("BILLING", 2)
    body = json.loads(message.data)
    assert (message.subject, body["type"]) == ("billing.budget.threshold", "tollgate.billing.budget.threshold.v1")
    assert (body["data"]["percent"], message.headers["Nats-Msg-Id"]) == (80, body["id"])


async def _is(count: Callable[[], Awaitable[int]], wanted_count: int) -> bool:
    return await count() == wanted_count
