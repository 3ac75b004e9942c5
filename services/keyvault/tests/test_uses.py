"""Last used: what keyvault learns from usage events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from common.contracts.envelope import Envelope, event_headers
from common.contracts.usage import USAGE_RECORDED, UsageRecorded, recorded_subject
from common.ids import usage_event_id, uuid7
from common.testing.events import of_a_later_release

AT = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
NO_TOKENS = dict.fromkeys(
    ("input_tokens", "cached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
     "reasoning_tokens", "audio_input_tokens", "audio_output_tokens", "total_tokens"),
    0,
)  # fmt: skip


def used(key_id: str | None, credential_id: str | None, at: datetime) -> Envelope[UsageRecorded]:
    """A usage event as the gateway makes it."""
    request_id = uuid7()
    call: dict[str, Any] = {
        "kind": "final",
        "request_id": request_id,
        "trace_id": None,
        "api_key_id": key_id,
        "user_id": None,
        "team_id": None,
        "tier": None,
        "source": "api",
        "operation": "chat",
        "requested_model": "gpt-4",
        "alias": None,
        "provider_type": "openai",
        "provider_id": None,
        "model": "gpt-4",
        "credential": "system",
        "credential_id": credential_id,
        "billable": True,
        "streamed": False,
        "status": "completed",
        "http_status": 200,
        "error": None,
        "finish_reason": "stop",
        "usage": {**NO_TOKENS, "units": {}, "estimated": False},
        "raw_usage": None,
        "price": {"version": "v1", "rates": {}, "is_fallback": False},
        "cost_usd": "0",
        "operator_cost_usd": "0",
        "budgets": [],
        "period": "2026-11",
        "started_at": "2026-11-21T08:30:00.123Z",
        "latency_ms": 12,
        "ttft_ms": None,
        "attempts": [],
        "cache": "off",
        "dropped_params": [],
        "decision": None,
        "simulated": False,
        "tags": {},
        "content_ref": None,
    }
    return Envelope[UsageRecorded](
        id=usage_event_id(request_id, "final"),
        source="/gateway",
        type=USAGE_RECORDED,
        time=at,
        data=UsageRecorded.model_validate(call),
    )


async def publish(alone: Any, *events: Envelope[UsageRecorded]) -> None:
    for number, event in enumerate(events):
        # Under ids of their own, so that a repeated event really is delivered twice.
        headers = event_headers(f"{event.id}-{number}-{uuid7()}")
        subject = recorded_subject("openai", event.data.api_key_id)
        await alone.bus.jetstream.publish(subject, event.model_dump_json().encode(), headers=headers)


async def last_used(alone: Any, table: str, row_id: str) -> datetime | None:
    at: datetime | None = await alone.owner.fetchval(f"SELECT last_used_at FROM {table} WHERE id = $1", row_id)
    return at


async def test_keys_and_credentials_know_when_they_were_last_used(alone: Any, eventually: Any) -> None:
    admin = await alone.admin()
    made, unused = await alone.make_key(admin), await alone.make_key(admin)
    body = {"provider_type": "openai", "api_key": "sk-proj-canary-1234"}
    await alone.call("POST", "/api/v1/llm/providers/keys", admin, body)
    credential_id = await alone.owner.fetchval("SELECT id FROM credentials")
    latest = used(made["id"], credential_id, AT + timedelta(hours=1))
    earlier = used(made["id"], None, AT)
    await publish(alone, earlier, latest, latest, earlier, used(None, None, AT), used("unknown", "unknown", AT))

    async def is_known() -> bool:
        return await last_used(alone, "virtual_keys", made["id"]) == AT + timedelta(hours=1)

    await eventually(is_known)
    assert await last_used(alone, "credentials", credential_id) == AT + timedelta(hours=1)
    assert await last_used(alone, "virtual_keys", unused["id"]) is None
    # An older event that comes late changes nothing.
    await publish(alone, earlier, used(unused["id"], None, AT))

    async def other_is_known() -> bool:
        return await last_used(alone, "virtual_keys", unused["id"]) == AT

    await eventually(other_is_known)
    assert await last_used(alone, "virtual_keys", made["id"]) == AT + timedelta(hours=1)
    shown = (await alone.call("GET", f"/api/v1/keys/{made['id']}", admin)).json()
    assert shown["last_used_at"] == "2026-11-21T09:30:00Z"


async def test_a_call_that_a_later_release_tells_more_of_counts_like_any(alone: Any, eventually: Any) -> None:
    made = await alone.make_key(await alone.admin())
    body = of_a_later_release(used(made["id"], None, AT))
    await alone.bus.jetstream.publish(recorded_subject("openai", made["id"]), body, headers=event_headers(uuid7()))

    async def is_known() -> bool:
        return await last_used(alone, "virtual_keys", made["id"]) == AT

    await eventually(is_known)


async def test_an_event_that_breaks_its_contract_goes_to_the_dlq_and_its_neighbours_count(
    alone: Any, eventually: Any
) -> None:
    admin = await alone.admin()
    made = await alone.make_key(admin)
    await alone.bus.jetstream.publish("usage.recorded.openai.none", b'{"data": 1}', headers=event_headers("bad"))
    await publish(alone, used(made["id"], None, AT))

    async def is_known() -> bool:
        return await last_used(alone, "virtual_keys", made["id"]) == AT

    await eventually(is_known)

    async def is_buried() -> bool:
        return [subject for subject, _ in await alone.events("DLQ")] == ["dlq.keyvault"]

    await eventually(is_buried)
