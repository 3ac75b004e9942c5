"""OpenAI's admin lists of usage and costs: their shapes, sums, groups and pages, and who may see them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from analytics.domain.buckets import page_of
from hypothesis import given
from hypothesis import strategies as st
from openai.types.admin.organization import UsageCompletionsResponse, UsageCostsResponse

MakeEvent = Callable[..., Any]
USAGE, COSTS = "/v1/organization/usage/completions", "/v1/organization/costs"
DAY = 86_400
DAY_19 = int(datetime(2026, 11, 19, tzinfo=UTC).timestamp())


async def some_calls(service: Any, usage_event: MakeEvent) -> None:
    """Calls of two days, two teams and three operations."""
    await service.publish(
        usage_event(user_id="ann", team_id="t1", cost_usd="0.1", started_at="2026-11-19T23:59:59Z", tokens=(8,) * 8),
        usage_event(user_id="bob", team_id="t2", cost_usd="0.2", started_at="2026-11-21T01:00:00Z", model="o3"),
        usage_event(user_id="bob", team_id="t2", cost_usd="0.4", started_at="2026-11-21T02:00:00Z", api_key_id="key-2"),
        usage_event(
            user_id="ann", team_id="t1", cost_usd="0.8", started_at="2026-11-21T03:00:00Z", operation="embeddings"
        ),
    )


async def test_usage_is_told_day_by_day_in_openai_s_shape(service: Any, usage_event: MakeEvent) -> None:
    await some_calls(service, usage_event)
    page = await service.get(f"{USAGE}?start_time={DAY_19}")
    UsageCompletionsResponse.model_validate(page, strict=True)
    assert (page["object"], page["has_more"], page["next_page"]) == ("page", False, None)
    assert [bucket["start_time"] for bucket in page["data"]] == [DAY_19, DAY_19 + DAY, DAY_19 + 2 * DAY]
    assert [len(bucket["results"]) for bucket in page["data"]] == [1, 0, 1]
    assert page["data"][0]["results"] == [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": 40,
            "output_tokens": 24,
            "input_cached_tokens": 8,
            "input_audio_tokens": 8,
            "output_audio_tokens": 8,
            "num_model_requests": 1,
            **dict.fromkeys(("project_id", "user_id", "api_key_id", "model", "batch", "service_tier")),
        }
    ]
    assert page["data"][2]["results"][0]["num_model_requests"] == 2  # embeddings are no completions


async def test_costs_are_told_of_all_operations_and_sum_up(service: Any, usage_event: MakeEvent) -> None:
    await some_calls(service, usage_event)
    page = await service.get(f"{COSTS}?start_time={DAY_19}&group_by=line_item&group_by=project_id")
    UsageCostsResponse.model_validate(page, strict=True)
    told = [
        (result["line_item"], result["project_id"], result["amount"]["value"])
        for bucket in page["data"]
        for result in bucket["results"]
    ]
    assert told == [("gpt-4", "t1", 0.1), ("gpt-4", "t1", 0.8), ("gpt-4", "t2", 0.4), ("o3", "t2", 0.2)]
    assert {result["amount"]["currency"] for bucket in page["data"] for result in bucket["results"]} == {"usd"}


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ("group_by[]=user_id&group_by[]=model", [("ann", "gpt-4", 1), ("bob", "gpt-4", 1), ("bob", "o3", 1)]),
        ("group_by=user_id,model&user_ids=bob", [("bob", "gpt-4", 1), ("bob", "o3", 1)]),
        ("group_by=model&models=o3&models=o4", [(None, "o3", 1)]),
        ("project_ids=t1", [(None, None, 1)]),
        ("api_key_ids=key-2&group_by=batch", [(None, None, 1)]),
        ("user_ids=carl", []),
    ],
)
async def test_calls_are_told_apart_and_picked(
    service: Any, usage_event: MakeEvent, query: str, requests: list[tuple[Any, ...]]
) -> None:
    await some_calls(service, usage_event)
    page = await service.get(f"{USAGE}?start_time={DAY_19}&{quote(query, safe='=&,')}")
    results = [result for bucket in page["data"] for result in bucket["results"]]
    assert [(one["user_id"], one["model"], one["num_model_requests"]) for one in results] == requests


async def test_pages_follow_each_other_without_gap_or_overlap(service: Any, usage_event: MakeEvent) -> None:
    await some_calls(service, usage_event)
    path, seen, tokens, page = f"{USAGE}?start_time={DAY_19 + 1}&bucket_width=1h&limit=10", [], 0, ""
    while True:
        found = await service.get(path + (f"&page={page}" if page else ""))
        seen += [bucket["start_time"] for bucket in found["data"]]
        tokens += sum(result["input_tokens"] for bucket in found["data"] for result in bucket["results"])
        page = found["next_page"]
        if not found["has_more"]:
            break
    assert seen == list(range(DAY_19, seen[-1] + 1, 3600))
    assert (len(seen), tokens) == (57, 60)  # until half past eight of the third day


async def test_compaction_puts_out_text_and_counts_as_completions_do(service: Any, usage_event: MakeEvent) -> None:
    await service.publish(usage_event(operation="compaction", started_at="2026-11-19T10:00:00Z"))
    page = await service.get(f"{USAGE}?start_time={DAY_19}&limit=1")
    assert [result["input_tokens"] for result in page["data"][0]["results"]] == [10]


async def test_more_groups_than_may_be_are_refused(
    service: Any, usage_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_calls(service, usage_event)
    monkeypatch.setattr("analytics.flows.MOST_RESULTS", 2)
    path, admin = f"{USAGE}?start_time={DAY_19}", service.signed_in("root", "admin")
    assert len((await service.get(path))["data"]) == 3
    refused = await service.client.get(f"{path}&group_by=model", headers=admin)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "limit")
    assert "more than 2 results" in refused.json()["error"]["message"]


async def test_admins_alone_see_them(service: Any) -> None:
    for path in (USAGE, COSTS):
        nobody = await service.client.get(f"{path}?start_time=0")
        assert (nobody.status_code, nobody.json()["error"]["reason"]) == (401, "invalid_api_key")
        user = await service.client.get(f"{path}?start_time=0", headers=service.signed_in("ann"))
        assert (user.status_code, user.json()["error"]["reason"]) == (403, "admins_only")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=soon", "start_time"),
        ("start_time=-1", "start_time"),
        ("start_time=0&end_time=1e9", "end_time"),
        ("start_time=0&bucket_width=1m", "bucket_width"),
        ("start_time=0&limit=32", "limit"),
        ("start_time=0&limit=0", "limit"),
        ("start_time=0&group_by=colour", "group_by"),
        ("start_time=0&page=next", "page"),
        ("start_time=0&models=%00", "models"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_by_name(service: Any, query: str, param: str) -> None:
    answer = await service.client.get(f"{USAGE}?{query}", headers=service.signed_in("root", "admin"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


@given(
    st.integers(0, 10**7), st.integers(0, 10**7), st.sampled_from([3_600, DAY]), st.integers(1, 40), st.integers(1, 40)
)
def test_pages_cover_every_second_once(begins: int, ends: int, width: int, limit: int, other: int) -> None:
    starts: list[int] = []
    place: int | None = begins
    while place is not None:
        span, place = page_of(place, ends, width, limit if len(starts) % 2 else other)
        starts += [int(start.timestamp()) for start in span.starts()]
        assert len(span.starts()) <= max(limit, other)
    assert starts == list(range(begins // width * width, starts[-1] + 1, width))
    assert starts[-1] <= max(begins, ends - 1) < starts[-1] + width
