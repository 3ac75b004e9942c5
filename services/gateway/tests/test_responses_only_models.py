"""Models that know the Responses API alone, called through the doors of chat, messages and responses."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from gateway_stack import KEY, Stack, model_snapshot
from native import folded
from test_native_calls import TOOLS
from wire_streams import shown

MODEL = "o3-pro"


async def add(stack: Stack) -> None:
    """Make the model callable."""
    await stack.put("catalog", "model.o3-pro", model_snapshot("openai", MODEL, "20", "80"))
    await stack.is_callable(MODEL)


async def turn(stack: Stack, messages: list[dict[str, Any]], *, streamed: bool) -> dict[str, Any]:
    """One turn of a conversation in chat."""
    answer = await stack.chat(model=MODEL, messages=messages, tools=TOOLS, stream=streamed, reasoning_effort="low")
    assert answer.status_code == 200, answer.text
    if streamed:
        assert answer.text.endswith("data: [DONE]\n\n")
        return folded(answer.content.removesuffix(b"data: [DONE]\n\n"))
    choice = answer.json()["choices"][0]
    return {**choice["message"], "finish_reason": choice["finish_reason"]}


@pytest.mark.parametrize("streamed", [False, True])
async def test_two_turns_with_parallel_calls_and_thinking(stack: Stack, streamed: bool) -> None:
    await add(stack)
    words = "Use both. [[simulate tool_calls=2 unicode reasoning_tokens=9]]"
    messages: list[dict[str, Any]] = [{"role": "user", "content": words}]
    first = await turn(stack, messages, streamed=streamed)
    calls = first["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["read_tide", "read_wind"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"place": "Zürich 東京 🙂"}
    assert first["reasoning_details"][0]["data"].startswith("simenc")  # which the provider checks when it comes back
    kept = {name: first[name] for name in ("reasoning_details", "tool_calls")}
    messages.append({"role": "assistant", "content": None, **kept})
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": "2 m"} for call in calls]
    second = await turn(stack, messages, streamed=streamed)
    assert (first["finish_reason"], second["finish_reason"], bool(second["content"])) == ("tool_calls", "stop", True)
    events = await stack.events(2)
    assert events[0].usage.reasoning_tokens == 9
    assert [event.finish_reason for event in events] == ["tool_calls", "stop"]
    assert await stack.held() == 0


async def test_usage_ends_a_stream_for_who_asked(stack: Stack) -> None:
    await add(stack)
    answer = await stack.chat("Count to 5", model=MODEL, stream=True, stream_options={"include_usage": True})
    *chunks, last = shown(answer.content.removesuffix(b"data: [DONE]\n\n"))
    assert {chunk["id"] for chunk in chunks} == {last["id"]}
    [event] = await stack.events()
    assert event.usage.total_tokens == last["usage"]["total_tokens"] > 0
    assert event.raw_usage is not None
    assert "input_tokens" in event.raw_usage


@pytest.mark.parametrize("ordered", ["cut_after=6", "error_at=7", "malformed_at=6"])
async def test_a_broken_stream_ends_in_an_error(stack: Stack, ordered: str) -> None:
    await add(stack)
    answer = await stack.chat(f"[[simulate tokens=30 {ordered}]]", model=MODEL, stream=True)
    assert '"error"' in answer.text
    assert "[DONE]" not in answer.text
    [event] = await stack.events()
    assert event.status == "failed"


@pytest.mark.parametrize(
    ("ordered", "status", "reason"),
    [
        ("status=400", 400, "provider_rejected"),
        ("status=401", 502, "provider_auth_failed"),
        ("status=429 retry_after=7", 429, "provider_rate_limited"),
        ("status=503", 502, "provider_error"),
    ],
)
async def test_refusals_have_our_shape(stack: Stack, ordered: str, status: int, reason: str) -> None:
    await add(stack)
    answer = await stack.chat(f"[[simulate {ordered}]]", model=MODEL)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (status, reason)


async def test_a_knob_without_a_word_is_named(stack: Stack) -> None:
    await add(stack)
    answer = await stack.chat(model=MODEL, seed=7, stop=["x"])
    assert answer.headers["x-tollgate-dropped-params"] == "seed, stop"


async def test_anthropics_client_reaches_them_too(stack: Stack) -> None:
    await add(stack)
    messages: list[Any] = [{"role": "user", "content": "Count to 5"}]
    async with (
        anthropic.AsyncAnthropic(auth_token=KEY, base_url=stack.url, max_retries=0) as client,
        client.messages.stream(model=MODEL, max_tokens=100, messages=messages) as stream,
    ):
        final = await stream.get_final_message()
    assert final.content[0].type == "text"
    assert final.content[0].text == "1, 2, 3, 4, 5"


async def test_who_speaks_the_api_is_relayed_all_the_same(stack: Stack) -> None:
    await add(stack)
    body = {"model": MODEL, "input": "Say hello!"}
    answer = await stack.http.post("/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.json()["object"] == "response"
    assert "frequency_penalty" in answer.json()
