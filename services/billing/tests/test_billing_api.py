"""What people see of the books over HTTP, and what they do not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

MakeEvent = Callable[..., Any]
Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
def billed(service: Any, eventually: Eventually) -> Callable[..., Awaitable[None]]:
    """Publishes events and waits until they are booked."""

    async def bill(*events: Any) -> None:
        await service.publish(*events)

        async def drained() -> bool:
            found = await service.bus.jetstream.consumer_info("USAGE", "billing")
            return found.num_pending == 0 and found.num_ack_pending == 0

        await eventually(drained)

    return bill


async def test_the_summary_says_what_each_key_used_and_cost_a_month(
    service: Any, billed: Callable[..., Awaitable[None]], usage_event: MakeEvent
) -> None:
    await billed(
        usage_event(cost="0.0006", tokens=(10, 5)),
        usage_event(cost="0.00000012", tokens=(1, 2)),
        usage_event(cost="3", period="2026-10"),
        usage_event(cost="1", api_key_id="key-2"),
    )
    page = await service.get("/api/v1/billing/summary?api_key_id=key-1")
    assert page == {
        "items": [
            {
                "api_key_id": "key-1",
                "name": None,
                "year": 2026,
                "month": month,
                "total_requests": requests,
                "input_tokens": read,
                "output_tokens": written,
                "total_cost_usd": cost,
            }
            for month, requests, read, written, cost in [(11, 2, 11, 7, "0.00060012"), (10, 1, 10, 5, "3")]
        ],
        "next_cursor": None,
    }
    only = await service.get("/api/v1/billing/summary?year=2026&month=10")
    assert [item["total_cost_usd"] for item in only["items"]] == ["3"]


async def test_the_ledger_shows_both_sides_of_a_call(
    service: Any, billed: Callable[..., Awaitable[None]], usage_event: MakeEvent
) -> None:
    await billed(usage_event("request-1", cost="0.0000375"), usage_event("request-2"))
    items = (await service.get("/api/v1/billing/ledger?request_id=request-1"))["items"]
    assert {item["account"]: item["amount_usd"] for item in items} == {
        "customer:key-1": "0.0000375",
        "provider:openai": "-0.0000375",
    }
    assert {(item["kind"], item["period"], item["occurred_at"]) for item in items} == {
        ("usage", "2026-11", "2026-11-21T08:30:00.123000Z")
    }
    assert len({item["transaction_id"] for item in items}) == 1


async def test_pages_follow_each_other_without_gap_or_overlap(
    service: Any, billed: Callable[..., Awaitable[None]], usage_event: MakeEvent
) -> None:
    await billed(*(usage_event(api_key_id=f"key-{n % 4}", period=f"2026-{n % 3 + 1:02}") for n in range(24)))
    for path, expected in (("ledger", 48), ("summary", 12)):
        seen: list[str] = []
        cursor = ""
        while True:
            page = await service.get(f"/api/v1/billing/{path}?limit=5{cursor}")
            seen += [str(item) for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert len(seen) == len(set(seen)) == expected


async def test_users_see_their_own_calls_and_admins_all(
    service: Any, billed: Callable[..., Awaitable[None]], usage_event: MakeEvent
) -> None:
    await billed(
        usage_event("a", user_id="ann", api_key_id="key-a", cost="1"),
        usage_event("b", user_id="bob", api_key_id="key-b", cost="2"),
        usage_event("c", user_id="bob", api_key_id=None, cost="4"),
    )
    own = await service.get("/api/v1/billing/summary", "ann", "user")
    assert [item["api_key_id"] for item in own["items"]] == ["key-a"]
    assert await service.get("/api/v1/billing/summary?api_key_id=key-b", "ann", "user") == {
        "items": [],
        "next_cursor": None,
    }
    lines = await service.get("/api/v1/billing/ledger", "bob", "user")
    assert {item["request_id"] for item in lines["items"]} == {"b", "c"}
    assert (await service.get("/api/v1/billing/ledger?request_id=b", "ann", "user"))["items"] == []
    every = await service.get("/api/v1/billing/summary")
    assert sum(Decimal(item["total_cost_usd"]) for item in every["items"]) == 7


async def test_who_is_not_signed_in_sees_nothing(service: Any) -> None:
    for path in ("/api/v1/billing/summary", "/api/v1/billing/ledger"):
        assert (await service.client.get(path)).status_code == 401


async def test_bad_questions_get_an_answer_that_says_so(service: Any) -> None:
    questions = {
        "summary?month=13": 422,
        "summary?year=abc": 422,
        "summary?limit=0": 422,
        "summary?limit=1001": 422,
        "summary?cursor=nonsense": 400,
        "summary?cursor=WzFd": 400,
        "ledger?cursor=nonsense": 400,
        "ledger?cursor=WyJ4Il0": 400,
        "ledger?cursor=WzFlOTld": 400,
        "ledger?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ": 400,
        "ledger?request_id=%00": 422,
        "summary?api_key_id=a%00": 422,
        "summary?cursor=WzIwMjYsMTEsIlx1MDAwMCJd": 400,
        "ledger?api_key_id=';DROP TABLE charges;--": 200,
    }
    for question, status in questions.items():
        answer = await service.client.get(f"/api/v1/billing/{question}", headers=service.signed_in("root", "admin"))
        assert answer.status_code == status, (question, answer.text)


async def test_the_metrics_say_what_the_audit_found(service: Any, eventually: Eventually) -> None:
    async def audited() -> str:
        text: str = (await service.client.get("/metrics")).text
        return text if "tollgate_billing_audits_total 1.0" in text else ""

    text = await eventually(audited)
    assert 'tollgate_billing_audit_violations{rule="ledger_sums_to_zero"} 0.0' in text
    assert "tollgate_billing_pending_events 0.0" in text
    assert "tollgate_billing_admission_closed_seconds_total" in text
