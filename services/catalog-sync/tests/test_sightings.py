"""Names that calls used and the catalog has no price for, heard from usage events."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from common.contracts.envelope import Envelope, event_headers
from common.contracts.topology import CONSUMERS
from common.contracts.usage import (
    USAGE_RECORDED,
    USAGE_REJECTED,
    UsageRecorded,
    UsageRejected,
    recorded_subject,
    rejected_subject,
)
from common.ids import usage_event_id, uuid7
from common.testing.events import of_a_later_release

SEEN = "/api/v1/llm/models/seen"
START = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def usage_event(model: str, at: datetime, *, is_fallback: bool = True) -> Envelope[UsageRecorded]:
    request_id = uuid7()
    counts = dict.fromkeys(
        ("input_tokens", "cached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
         "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "total_tokens"), 0,
    )  # fmt: skip
    nothing = dict.fromkeys(
        ("trace_id", "api_key_id", "user_id", "team_id", "tier", "alias", "provider_id", "credential_id", "error",
         "finish_reason", "raw_usage", "ttft_ms", "decision", "content_ref"),
    )  # fmt: skip
    recorded = UsageRecorded.model_validate(
        {
            **nothing, "kind": "final", "request_id": request_id, "source": "api", "operation": "chat",
            "requested_model": model, "provider_type": "custom", "model": model, "credential": "system", "billable": True,
            "streamed": False, "status": "completed", "http_status": 200, "usage": {**counts, "estimated": False},
            "price": {"version": "v", "rates": {}, "is_fallback": is_fallback}, "cost_usd": "0", "operator_cost_usd": "0",
            "budgets": (), "period": "2026-11", "started_at": at.isoformat(), "latency_ms": 1, "attempts": (),
            "cache": "off", "dropped_params": (), "simulated": False, "tags": {},
        }
    )  # fmt: skip
    event_id = usage_event_id(request_id, "final")
    return Envelope[UsageRecorded](id=event_id, source="gateway", type=USAGE_RECORDED, time=at, data=recorded)


async def publish(running: Any, *events: Envelope[UsageRecorded]) -> None:
    """Publish events and wait until the service has handled them all."""
    for event in events:
        await running.bus.jetstream.publish(
            recorded_subject("custom", None), event.model_dump_json().encode(), headers=event_headers(event.id)
        )
    async with asyncio.timeout(20):
        while True:
            state = await running.bus.jetstream.consumer_info("USAGE", "catalog-sync")
            if state.num_pending == 0 and state.num_ack_pending == 0:
                return
            await asyncio.sleep(0.05)


async def seen(running: Any) -> list[tuple[str, int, bool]]:
    items = (await running.admin.get(SEEN)).json()["items"]
    return [(one["name"], one["calls"], one["is_listed"]) for one in items]


async def test_names_without_a_price_are_listed_for_the_admin(running: Any) -> None:
    assert any(row.service == "catalog-sync" for row in CONSUMERS)
    await running.admin.post("/api/v1/llm/models", json={"provider": "custom", "name": "listed-only"})
    await publish(
        running,
        usage_event("brand-new", START),
        usage_event("brand-new", START + timedelta(seconds=1)),
        usage_event("listed-only", START),
        usage_event("priced", START, is_fallback=False),
    )
    assert await seen(running) == [("brand-new", 2, False), ("listed-only", 1, True)]


def rejected_event(model: str | None, at: datetime) -> Envelope[UsageRejected]:
    rejected = UsageRejected(
        request_id=uuid7(), api_key_id="k", reason="model_not_found", http_status=400, requested_model=model
    )
    return Envelope[UsageRejected](id=uuid7(), source="gateway", type=USAGE_REJECTED, time=at, data=rejected)


async def test_names_that_nobody_serves_are_listed_with_what_they_seem_to_be(running: Any) -> None:
    asked = ("gpt-nothing", "openai/gpt-4-2027-01-31", "gpt-4o-mini-20270131", "nobody/at-all", None, "openai/gpt-4")
    for name in asked:
        event = rejected_event(name, START)
        await running.bus.jetstream.publish(
            rejected_subject("model_not_found"), event.model_dump_json().encode(), headers=event_headers(event.id)
        )
    await publish(running, usage_event("brand-new", START))
    items = (await running.admin.get(SEEN)).json()["items"]
    assert [(one["provider_type"], one["name"], one["kind"], one["like"]) for one in items] == [
        ("", "gpt-4o-mini-20270131", "dated", "gpt-4o-mini"),
        ("", "gpt-nothing", "unknown", None),
        ("", "nobody/at-all", "unknown", None),
        ("custom", "brand-new", "unknown", None),
        ("openai", "gpt-4-2027-01-31", "dated", "gpt-4"),
    ]


async def test_calls_and_refusals_that_a_later_release_tells_more_of_are_listed_like_any(running: Any) -> None:
    for subject, event in (
        (recorded_subject("custom", None), usage_event("brand-new", START)),
        (rejected_subject("model_not_found"), rejected_event("gpt-nothing", START)),
    ):
        await running.bus.jetstream.publish(subject, of_a_later_release(event), headers=event_headers(uuid7()))
    await publish(running)
    assert {name for name, _, _ in await seen(running)} == {"brand-new", "gpt-nothing"}


async def test_a_redelivered_event_is_counted_once(running: Any) -> None:
    event = usage_event("brand-new", START)
    await publish(running, event)
    again = event.model_copy(update={"id": usage_event_id(uuid7(), "final")})  # past JetStream's own dedupe
    await publish(running, again)
    await publish(running, usage_event("brand-new", START + timedelta(minutes=1)))
    assert await seen(running) == [("brand-new", 2, False)]


async def test_a_name_that_has_got_a_price_is_listed_no_more(running: Any) -> None:
    await publish(running, usage_event("brand-new", START))
    priced = {"provider": "custom", "name": "brand-new", "cost_per_1m_input": 1, "cost_per_1m_output": 2}
    assert (await running.admin.post("/api/v1/llm/models", json=priced)).status_code == 201
    assert await seen(running) == []


async def test_an_event_that_breaks_its_contract_goes_to_the_dlq_alone(running: Any) -> None:
    await running.bus.jetstream.publish("usage.recorded.custom.none", b'{"not": "an event"}')
    await publish(running, usage_event("brand-new", START))
    assert await seen(running) == [("brand-new", 1, False)]
    assert (await running.bus.jetstream.stream_info("DLQ")).state.messages == 1


async def test_the_names_seen_last_are_kept_a_bounded_number_of_them(running: Any) -> None:
    await running.database.execute(
        "INSERT INTO seen_models SELECT 'custom', 'old-' || n, $1::timestamptz + n * interval '1 s', $1::timestamptz"
        " + n * interval '1 s', 1 FROM generate_series(1, 10000) n",
        START - timedelta(days=1),
    )
    await publish(running, usage_event("brand-new", START))
    kept = await running.database.fetchval("SELECT count(*) FROM seen_models")
    oldest = await running.database.fetchval("SELECT name FROM seen_models ORDER BY last_seen LIMIT 1")
    assert (kept, oldest) == (10_000, "old-2")
    page = (await running.admin.get(SEEN, params={"limit": 2})).json()
    following = (await running.admin.get(SEEN, params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert following["items"][0]["name"] > page["items"][-1]["name"]
