"""What people see of the log and of costs over HTTP, and what they do not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

MakeEvent = Callable[..., Any]
Eventually = Callable[..., Awaitable[Any]]

LOG = "/api/v1/analytics/requests"


async def test_the_log_shows_every_field_of_the_usage_event(service: Any, usage_event: MakeEvent) -> None:
    event = usage_event("r", raw_usage={"cost": 0.1}, cost_usd="0.00000012", tags={"app": "mail"})
    await service.publish(event)
    [item] = (await service.get(LOG))["items"]
    assert item.pop("event_id") == event.id
    assert item.pop("recorded_at") == "2026-11-21T08:30:00Z"
    assert item == event.data.model_dump(mode="json")
    assert item["cost_usd"] == "0.00000012"
    one = await service.get(f"{LOG}/r")
    assert one["request_id"] == "r"
    assert one["raw_usage"] == {"cost": 0.1}


FOUND_BY = {
    "": "abcd",
    "?api_key_id=key-2": "b",
    "?user_id=bob": "bc",
    "?team_id=team-1": "c",
    "?provider=groq": "b",
    "?provider=my-openai": "c",
    "?model=llama": "b",
    "?model=my-alias": "c",
    "?status=failed": "d",
    "?source=lab": "c",
    "?tag=app": "ab",
    "?tag=app:mail": "a",
    "?tag=app:": "ab",
    "?tag=missing": "",
    "?from=2026-11-03T00:00:00Z": "cd",
    "?to=2026-11-03T00:00:00Z": "ab",
    "?from=2026-11-02&to=2026-11-04": "bc",
    "?from=2026-11-03T02:00:00%2B02:00&to=2026-11-03T00:00:01Z": "c",
    "?q=FELL": "d",
    "?q=100%25": "",
    "?q=my-al": "c",
    "?user_id=bob&provider=groq": "b",
    "?user_id=bob&provider=mistral": "",
}
"""What a query finds of the four calls below, by their letters."""


async def test_calls_are_found_by_every_filter_newest_first(service: Any, usage_event: MakeEvent) -> None:
    await service.publish(
        usage_event("a", user_id="ann", tags={"app": "mail"}, started_at="2026-11-01T00:00:00Z"),
        usage_event(
            "b",
            user_id="bob",
            api_key_id="key-2",
            provider_type="groq",
            model="llama",
            tags={"app": "chat"},
            started_at="2026-11-02T00:00:00Z",
        ),
        usage_event(
            "c",
            user_id="bob",
            team_id="team-1",
            provider_id="my-openai",
            source="lab",
            requested_model="my-alias",
            started_at="2026-11-03T00:00:00Z",
        ),
        usage_event(
            "d",
            user_id="ann",
            status="failed",
            error={"reason": "provider_error", "message": "It fell over"},
            started_at="2026-11-04T00:00:00Z",
        ),
    )
    for query, expected in FOUND_BY.items():
        items = (await service.get(f"{LOG}{query}"))["items"]
        assert "".join(item["request_id"] for item in items) == expected[::-1], query


async def test_pages_follow_each_other_without_gap_or_overlap(service: Any, usage_event: MakeEvent) -> None:
    await service.publish(*(usage_event(f"r-{n:02}", started_at=f"2026-11-21T08:00:{n // 4:02}Z") for n in range(23)))
    seen: list[str] = []
    cursor = ""
    while True:
        page = await service.get(f"{LOG}?limit=5{cursor}")
        seen += [item["request_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"r-{n:02}" for n in reversed(range(23))]


async def test_users_see_their_own_calls_and_admins_all(service: Any, usage_event: MakeEvent) -> None:
    await service.publish(
        usage_event("a", user_id="ann"), usage_event("b", user_id="bob"), usage_event("c", user_id=None)
    )

    async def seen(query: str, *who: str) -> set[str]:
        return {item["request_id"] for item in (await service.get(f"{LOG}{query}", *who))["items"]}

    assert await seen("", "ann", "user") == {"a"}
    assert await seen("?user_id=bob", "ann", "user") == set()
    assert await seen("") == {"a", "b", "c"}
    assert (await service.get(f"{LOG}/a", "ann", "user"))["request_id"] == "a"
    foreign = await service.client.get(f"{LOG}/b", headers=service.signed_in("ann"))
    missing = await service.client.get(f"{LOG}/x", headers=service.signed_in("ann"))
    assert (foreign.status_code, foreign.json()) == (missing.status_code, missing.json()) == (404, missing.json())


async def test_costs_are_summed_over_ones_own_calls_of_the_days_asked_for(service: Any, usage_event: MakeEvent) -> None:
    await service.publish(
        usage_event(user_id="ann", cost_usd="0.1", started_at="2026-11-21T23:59:59Z"),
        usage_event(user_id="ann", cost_usd="0.2", started_at="2026-11-20T00:00:00Z"),
        usage_event(user_id="ann", cost_usd="0.5", started_at="2026-11-20T12:00:00Z", model="o3", tokens=(1,) * 8),
        usage_event(user_id="ann", cost_usd="9", started_at="2026-11-19T23:59:59Z"),
        usage_event(user_id="bob", cost_usd="7"),
    )
    assert await service.get("/api/costs/summary?days=2", "ann", "user") == {
        "total_cost": 0.8,
        "call_count": 3,
        "average_cost_per_call": pytest.approx(0.8 / 3),
        "by_model": [
            {"model": "o3", "provider": "openai", "total_calls": 1, "total_tokens": 8, "total_cost": 0.5},
            {"model": "gpt-4", "provider": "openai", "total_calls": 2, "total_tokens": 30, "total_cost": 0.3},
        ],
        "by_date": [
            {"date": "2026-11-20", "total_cost": 0.7, "call_count": 2, "total_tokens": 23},
            {"date": "2026-11-21", "total_cost": 0.1, "call_count": 1, "total_tokens": 15},
        ],
    }
    assert (await service.get("/api/costs/summary", "ann", "user"))["total_cost"] == 9.8
    assert await service.get("/api/costs/summary", "root", "admin") == {
        "total_cost": 0,
        "call_count": 0,
        "average_cost_per_call": 0,
        "by_model": [],
        "by_date": [],
    }


async def test_who_is_not_signed_in_sees_nothing(service: Any) -> None:
    for path in (LOG, f"{LOG}/r", "/api/costs/summary"):
        assert (await service.client.get(path)).status_code == 401


async def test_bad_questions_get_an_answer_that_says_so(service: Any) -> None:
    questions = {
        f"{LOG}?status=happy": 422,
        f"{LOG}?source=elsewhere": 422,
        f"{LOG}?from=yesterday": 422,
        f"{LOG}?from=0001-01-01T00:00:00%2B23:00": 422,
        f"{LOG}?to=9999-12-31T23:59:59-23:00": 422,
        f"{LOG}?q=%00": 422,
        f"{LOG}?tag=%00": 422,
        f"{LOG}?model={'x' * 257}": 422,
        f"{LOG}?limit=1001": 422,
        f"{LOG}?cursor=nonsense": 400,
        f"{LOG}?cursor=WyJ5ZXN0ZXJkYXkiLCJyIl0": 400,
        f"{LOG}?cursor=WzEsMl0": 400,
        f"{LOG}/%00": 422,
        "/api/costs/summary?days=0": 422,
        "/api/costs/summary?days=3651": 422,
        f"{LOG}?q=';DROP TABLE requests;--": 200,
    }
    for question, status in questions.items():
        answer = await service.client.get(question, headers=service.signed_in("root", "admin"))
        assert answer.status_code == status, (question, answer.text)


async def test_a_poison_event_goes_whole_to_the_dlq_and_the_rest_of_its_batch_is_logged(
    service: Any, usage_event: MakeEvent
) -> None:
    await service.publish_raw("usage.recorded.openai.key-1", b'{"data": "nonsense"}', "poison-1")
    await service.publish(*(usage_event() for _ in range(10)), usage_event("late", started_at="someday"))
    assert len((await service.get(LOG))["items"]) == 10
    assert (await service.bus.jetstream.stream_info("DLQ")).state.messages == 2
    assert (await service.bus.jetstream.get_msg("DLQ", 1)).data == b'{"data": "nonsense"}'


async def test_a_ready_service_has_partitions_for_the_months_to_come(service: Any, eventually: Eventually) -> None:
    async def prepared() -> bool:
        return "tollgate_analytics_prepared_until_seconds 1.8014" in (await service.client.get("/metrics")).text

    await eventually(prepared)
