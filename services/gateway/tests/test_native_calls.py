"""Calls of providers that speak wires of their own, through the whole gateway, answered in those wires."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.contracts.snapshots import CredentialSnapshot, ProviderSnapshot
from common.money import Money
from gateway_stack import Stack, model_snapshot
from native import folded
from wire_streams import shown

MODELS = {"anthropic": "claude-sonnet-4-5", "google": "gemini-3-flash-preview", "vertex": "gemini-2.5-flash"}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}
    for name, properties in (("read_tide", {"place": {"type": "string"}}), ("read_wind", {}))
]

each_native = pytest.mark.parametrize("provider", ["anthropic", "google"])


async def add(stack: Stack, provider: str, **changes: Any) -> str:
    """Make a provider callable; the name of its model."""
    snapshot = ProviderSnapshot(
        id=provider, name=provider, provider_type=provider, display_name=provider.title(), **changes
    )
    credential = CredentialSnapshot(id=f"cred-{provider}", provider_type=provider, version=1, on_simulator=True)
    await stack.put("catalog", f"provider.{provider}", snapshot)
    await stack.put("catalog", "model.native", model_snapshot(provider, MODELS[provider], "3", "15"))
    await stack.put("credentials", credential.id, credential)
    await stack.is_callable(MODELS[provider])
    return MODELS[provider]


@each_native
async def test_a_call_is_translated_answered_and_priced(stack: Stack, provider: str) -> None:
    model = await add(stack, provider)
    answer = await stack.chat("Say hello! [[simulate cached_tokens=4]]", model=model, max_tokens=50)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["choices"][0]["message"]["content"].startswith("Hello!")
    assert body["choices"][0]["finish_reason"] == "stop"
    assert answer.headers["x-tollgate-provider"] == provider
    [event] = await stack.events()
    assert (event.provider_type, event.status, event.finish_reason) == (provider, "completed", "stop")
    assert event.usage.cached_input_tokens == 4
    assert event.usage.total_tokens == body["usage"]["total_tokens"]
    assert event.cost_usd > Money.of("0")
    assert str(event.cost_usd) == answer.headers["x-tollgate-cost-usd"]
    assert event.raw_usage is not None
    assert "prompt_tokens" not in event.raw_usage
    assert await stack.spent() > 0
    assert await stack.held() == 0


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_two_turns_with_parallel_calls_cross_both_ways(stack: Stack, provider: str, streamed: bool) -> None:
    model = await add(stack, provider)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You know tides."},
        {"role": "user", "content": "Use read_tide and read_wind. [[simulate tool_calls=2 unicode]]"},
    ]
    first = await _turn(stack, model, messages, streamed)
    calls = first["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["read_tide", "read_wind"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"place": "Zürich 東京 🙂"}
    assert calls[1]["function"]["arguments"] == "{}"
    assert first["finish_reason"] == "tool_calls"
    messages.append({"role": "assistant", "content": None, "tool_calls": [dict(call) for call in calls]})
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": "2 m"} for call in calls]
    second = await _turn(stack, model, messages, streamed)
    assert second["content"]
    assert second["finish_reason"] == "stop"
    events = await stack.events(2)
    assert [event.finish_reason for event in events] == ["tool_calls", "stop"]


async def _turn(stack: Stack, model: str, messages: list[dict[str, Any]], streamed: bool) -> dict[str, Any]:
    answer = await stack.chat(model=model, messages=messages, tools=TOOLS, stream=streamed)
    assert answer.status_code == 200, answer.text
    if streamed:
        assert answer.text.endswith("data: [DONE]\n\n")
        return folded(answer.content.removesuffix(b"data: [DONE]\n\n"))
    choice = answer.json()["choices"][0]
    return {**choice["message"], "finish_reason": choice["finish_reason"]}


@each_native
async def test_thinking_survives_the_next_turn(stack: Stack, provider: str) -> None:
    model = await add(stack, provider)
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Use read_tide. [[simulate reasoning_tokens=9]]"},
    ]
    asked = {"tools": TOOLS, "reasoning_effort": "low", "model": model, "max_tokens": 3000}
    first = (await stack.chat(messages=messages, **asked)).json()
    message = first["choices"][0]["message"]
    assert message["reasoning_content"]
    assert first["usage"]["completion_tokens_details"]["reasoning_tokens"] == 9
    messages += [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "2 m"}]
    answer = await stack.chat(messages=messages, **asked)
    assert answer.status_code == 200, answer.text
    assert "x-tollgate-dropped-params" not in answer.headers


@each_native
async def test_usage_ends_a_stream_for_who_asked(stack: Stack, provider: str) -> None:
    model = await add(stack, provider)
    answer = await stack.chat("Count to 5", model=model, stream=True, stream_options={"include_usage": True})
    *chunks, last = shown(answer.content.removesuffix(b"data: [DONE]\n\n"))
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    assert {chunk["id"] for chunk in chunks} == {last["id"]}
    [event] = await stack.events()
    assert event.usage.total_tokens == last["usage"]["total_tokens"]
    assert not event.usage.estimated


@each_native
async def test_a_knob_without_a_word_is_named_or_refused(stack: Stack, provider: str) -> None:
    model = await add(stack, provider)
    answer = await stack.chat(model=model, logit_bias={"7": 1}, verbosity="low")
    assert answer.status_code == 200
    assert answer.headers["x-tollgate-dropped-params"] == "logit_bias, verbosity"
    refused = await stack.chat(model=model, logit_bias={"7": 1}, drop_params=False)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "logit_bias"
    assert refused.headers["x-should-retry"] == "false"
    events = await stack.events(2)
    assert events[0].dropped_params == ("logit_bias", "verbosity")
    assert (events[1].status, events[1].cost_usd, await stack.held()) == ("failed", Money.of("0"), 0)


@each_native
@pytest.mark.parametrize(
    ("ordered", "status", "reason"),
    [
        ("status=400", 400, "provider_rejected"),
        ("status=401", 502, "provider_auth_failed"),
        ("status=429 retry_after=7", 429, "provider_rate_limited"),
        ("status=503", 502, "provider_error"),
    ],
)
async def test_refusals_have_our_shape(stack: Stack, provider: str, ordered: str, status: int, reason: str) -> None:
    model = await add(stack, provider)
    answer = await stack.chat(f"[[simulate {ordered}]]", model=model)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (status, reason)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)


@each_native
@pytest.mark.parametrize("ordered", ["cut_after=4", "error_at=5", "malformed_at=5"])
async def test_a_broken_stream_ends_in_an_error(stack: Stack, provider: str, ordered: str) -> None:
    model = await add(stack, provider)
    answer = await stack.chat(f"[[simulate tokens=30 {ordered}]]", model=model, stream=True)
    assert b"[DONE]" not in answer.content
    assert '"error"' in answer.text
    [event] = await stack.events()
    assert event.status == "failed"


async def test_a_newer_version_of_the_api_is_spoken_where_an_instance_says_so(stack: Stack) -> None:
    model = await add(stack, "anthropic", headers={"Anthropic-Version": "2026-10-21"})
    answer = await stack.chat(model=model, temperature=0.2)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollgate-dropped-params"] == "temperature"
