"""A call, whole and streamed: what the client sees, what the event says, what Redis holds."""

from __future__ import annotations

import json
import os
from decimal import Decimal

import httpx2
import openai
import pytest
from gateway_stack import HASTY, KEY, Stack


async def test_a_whole_answer_is_relayed_priced_and_recorded(stack: Stack) -> None:
    answer = await stack.chat()
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["finish_reason"] == "stop"
    usage = body["usage"]
    owed = (30 * usage["prompt_tokens"] + 60 * usage["completion_tokens"]) / Decimal(1_000_000)
    assert Decimal(answer.headers["x-tollgate-cost-usd"]) == owed

    [event] = await stack.events()
    assert event.status == "completed"
    assert event.cost_usd.usd == owed
    assert event.usage.total_tokens == usage["total_tokens"]
    assert event.request_id == answer.headers["x-request-id"]
    assert not event.usage.estimated
    assert await stack.spent() == int(owed * 10**9)
    assert await stack.held() == 0


async def test_a_stream_ends_with_done_and_shows_no_usage_unasked(stack: Stack) -> None:
    answer = await stack.chat("Count to 5", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    [event] = await stack.events()
    assert event.streamed
    assert event.ttft_ms is not None
    assert not event.usage.estimated
    assert await stack.spent() == event.cost_usd.to_nano_ceiling()


async def test_a_stream_shows_one_usage_chunk_when_asked(stack: Stack) -> None:
    answer = await stack.chat("Count to 5", stream=True, stream_options={"include_usage": True})
    chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    last = chunks[-1]
    assert last["choices"] == []
    [event] = await stack.events()
    assert last["usage"]["total_tokens"] == event.usage.total_tokens
    assert Decimal(last["x_tollgate"]["cost_usd"]) == event.cost_usd.usd
    assert last["id"] == chunks[0]["id"]


async def test_the_official_client_reads_both(stack: Stack) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{stack.url}/v1", max_retries=0) as client:
        whole = await client.chat.completions.create(model="my-gpt4", messages=[{"role": "user", "content": "Hello!"}])
        assert whole.choices[0].message.content
        words = ""
        async for chunk in await client.chat.completions.create(
            model="gpt-4", messages=[{"role": "user", "content": "Hello!"}], stream=True
        ):
            words += chunk.choices[0].delta.content or ""
        assert words == whole.choices[0].message.content
    first, second = await stack.events(2)
    assert (first.alias, first.model) == ("my-gpt4", "gpt-4")
    assert second.alias is None


async def test_a_hangup_stops_the_provider_and_costs_what_was_delivered(stack: Stack) -> None:
    body = {
        "model": "gpt-4",
        "stream": True,
        "messages": [{"role": "user", "content": "[[simulate tokens=500 chunk_ms=20]]"}],
    }
    headers = {"authorization": f"Bearer {KEY}"}
    async with stack.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        seen = 0
        async for line in answer.aiter_lines():
            seen += line.startswith("data: ")
            if seen == 10:
                break
    [event] = await stack.events()
    assert event.status == "cancelled"
    assert event.usage.estimated
    assert 5 <= event.usage.output_tokens < 100
    assert event.cost_usd.usd > 0
    assert await stack.held() == 0
    assert await stack.spent() == event.cost_usd.to_nano_ceiling()


@pytest.mark.parametrize(
    ("directive", "status", "reason"),
    [
        ("status=500", 502, "provider_error"),
        ("status=401", 502, "provider_auth_failed"),
        ("status=429", 429, "provider_rate_limited"),
        ("status=400", 400, "provider_rejected"),
        ("html=1", 502, "provider_error"),
        ("cut_after=0", 502, "provider_error"),
        ("held=for-good", 504, "provider_timeout"),
    ],
)
async def test_a_failure_before_the_first_byte_keeps_a_true_status(
    stack: Stack, directive: str, status: int, reason: str
) -> None:
    await stack.has_hasty_alias()
    model = HASTY.alias if "held" in directive else "gpt-4"
    answer = await stack.chat(f"[[simulate {directive}]]", stream=True, model=model)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["reason"] == reason
    assert {"message", "type", "param", "code"} <= set(error)
    [event] = await stack.events()
    assert event.status == "failed"
    assert event.cost_usd.usd == 0
    assert await stack.held() == 0


@pytest.mark.parametrize("directive", ["cut_after=3", "malformed_at=3", "error_at=3", "no_done=1 cut_after=4"])
async def test_a_failure_after_the_first_byte_is_one_error_event_without_done(stack: Stack, directive: str) -> None:
    answer = await stack.chat(f"[[simulate tokens=20 chunk_ms=10 {directive}]]", stream=True)
    assert answer.status_code == 200
    assert "[DONE]" not in answer.text
    events = [json.loads(part[6:]) for part in answer.text.split("\n\n") if part]
    assert "error" in events[-1]
    assert all("error" not in event for event in events[:-1])
    [event] = await stack.events()
    assert event.status == "failed"


async def test_an_alias_falls_back_and_the_event_shows_both_attempts(stack: Stack) -> None:

    simulator = os.environ["SIMULATOR_URL"]
    async with httpx2.AsyncClient(base_url=simulator) as control:
        await control.post("/control/faults", json={"provider": "openai", "count": 1, "directives": {"status": 503}})
        answer = await stack.chat(model="with-fallback")
        await control.delete("/control/faults")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollgate-provider"] == "groq"
    [event] = await stack.events()
    assert [attempt.status for attempt in event.attempts] == ["failed", "completed"]
    assert event.cost_usd == event.attempts[1].cost_usd
    assert await stack.held() == 0
