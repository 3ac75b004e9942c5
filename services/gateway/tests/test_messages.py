"""`/v1/messages`: Anthropic's official client, driven through the gateway to providers of three wires."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import pytest_asyncio
from gateway_stack import KEY, Stack
from test_native_calls import MODELS, add

TOOLS: list[Any] = [
    {"name": "read_tide", "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}}},
    {"name": "read_wind", "input_schema": {"type": "object", "properties": {}}},
]
USER: list[Any] = [{"role": "user", "content": "Say hello!"}]

each_wire = pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])


@pytest_asyncio.fixture
async def client(stack: Stack) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The official client with the test key, as a coding agent is set up."""
    async with anthropic.AsyncAnthropic(auth_token=KEY, base_url=stack.url, max_retries=0) as made:
        yield made


async def model_of(stack: Stack, provider: str) -> str:
    """A callable model of a provider."""
    return "gpt-4" if provider == "openai" else await add(stack, provider)


@each_wire
async def test_a_message_is_answered(stack: Stack, client: anthropic.AsyncAnthropic, provider: str) -> None:
    model = await model_of(stack, provider)
    answer = await client.messages.create(model=model, max_tokens=100, system="Be brief.", messages=USER)
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert answer.content[0].type == "text"
    assert answer.content[0].text.startswith("Hello!")
    [event] = await stack.events()
    assert (event.provider_type, event.operation, event.status) == (provider, "chat", "completed")
    assert event.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert await stack.held() == 0


@each_wire
async def test_a_stream_is_told_in_named_events(stack: Stack, client: anthropic.AsyncAnthropic, provider: str) -> None:
    model = await model_of(stack, provider)
    asked: list[Any] = [{"role": "user", "content": "Count to 5"}]
    async with client.messages.stream(model=model, max_tokens=100, messages=asked) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    wire = [kind for kind in kinds if kind.startswith(("message", "content"))]
    assert (wire[0], wire[1], wire[-1]) == ("message_start", "content_block_start", "message_stop")
    assert final.content[0].type == "text"
    assert final.content[0].text == "1, 2, 3, 4, 5"
    [event] = await stack.events()
    assert event.usage.output_tokens == final.usage.output_tokens
    assert not event.usage.estimated


@each_wire
async def test_parallel_tools_cross_both_ways(stack: Stack, client: anthropic.AsyncAnthropic, provider: str) -> None:
    model = await model_of(stack, provider)
    messages: list[Any] = [{"role": "user", "content": "Use both. [[simulate tool_calls=2 unicode]]"}]
    asked: dict[str, Any] = {"model": model, "max_tokens": 900, "tools": TOOLS}
    async with client.messages.stream(messages=messages, **asked) as stream:
        first = await stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert [(call.name, call.input) for call in calls] == [
        ("read_tide", {"place": "Zürich 東京 🙂"}),
        ("read_wind", {}),
    ]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "2 m"} for call in calls]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = await client.messages.create(messages=messages, **asked)
    assert second.stop_reason == "end_turn"
    assert second.content[0].type == "text"


async def test_what_anthropic_says_and_is_told_goes_through(stack: Stack) -> None:
    model = await add(stack, "anthropic")
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "[[simulate echo=headers]]"}]}
    headers = {"x-api-key": KEY, "anthropic-version": "2026-10-21", "anthropic-beta": "tides-2026-01-01"}
    answer = await stack.http.post("/v1/messages?beta=true", json=body, headers=headers)
    heard = json.loads(answer.json()["content"][0]["text"] + '"]}' * (not answer.text.endswith("}")))["headers"]
    assert {"anthropic-beta", "anthropic-version", "x-api-key"} <= set(heard)
    assert "service_tier" in answer.json()["usage"]
    refused = await stack.http.post("/v1/messages", json={**body, "temperature": 0.5}, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("temperature")
    assert refused.json()["request_id"] == refused.headers["request-id"] == refused.headers["x-request-id"]


async def test_thinking_keeps_its_signature(stack: Stack, client: anthropic.AsyncAnthropic) -> None:
    model = await add(stack, "anthropic")
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    messages: list[Any] = [{"role": "user", "content": "Use read_tide. [[simulate reasoning_tokens=9]]"}]
    asked: dict[str, Any] = {"model": model, "max_tokens": 2000, "tools": TOOLS, "thinking": thinking}
    async with client.messages.stream(messages=messages, **asked) as stream:
        first = await stream.get_final_message()
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "2 m"}  # type: ignore[union-attr]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert (await client.messages.create(messages=messages, **asked)).stop_reason == "end_turn"


async def test_refusals_have_anthropics_shape(stack: Stack, client: anthropic.AsyncAnthropic) -> None:
    asked: dict[str, Any] = {"max_tokens": 9, "messages": USER}
    with pytest.raises(anthropic.AuthenticationError) as stranger:
        await client.with_options(auth_token="tg-nobody").messages.create(model="gpt-4", **asked)
    assert stranger.value.body["error"] == {"type": "authentication_error", "message": "invalid API key"}
    with pytest.raises(anthropic.BadRequestError, match="unknown model"):
        await client.messages.create(model="claude-tide", **asked)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await client.messages.create(model="gpt-4", messages=USER, max_tokens=0)
    asked["messages"] = [{"role": "user", "content": "[[simulate status=429]]"}]
    with pytest.raises(anthropic.RateLimitError):
        await client.messages.create(model="gpt-4", **asked)


@each_wire
async def test_a_broken_stream_ends_in_an_error_event(stack: Stack, provider: str) -> None:
    model = await model_of(stack, provider)
    asked = [{"role": "user", "content": "[[simulate tokens=30 cut_after=9]]"}]
    body = {"model": model, "max_tokens": 99, "stream": True, "messages": asked}
    answer = await stack.http.post("/v1/messages", json=body, headers={"x-api-key": KEY})
    *_, last = answer.text.strip().split("\n\n")
    assert last.startswith("event: error\ndata: ")
    assert json.loads(last.partition("data: ")[2])["error"]["type"] == "api_error"
    assert "message_stop" not in answer.text


async def test_content_that_only_anthropic_knows_is_refused_elsewhere(stack: Stack) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    body = {"model": "gpt-4", "max_tokens": 9, "messages": USER, "tools": tools}
    refused = await stack.http.post("/v1/messages", json=body, headers={"x-api-key": KEY})
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert await stack.held() == 0


async def test_tokens_are_counted_by_the_provider_or_estimated(stack: Stack, client: anthropic.AsyncAnthropic) -> None:
    model = await add(stack, "anthropic")
    counted = await client.messages.count_tokens(model=model, messages=USER)
    assert counted.input_tokens == 10
    assert (await client.messages.count_tokens(model="gpt-4", messages=USER)).input_tokens > 0
    assert await stack.events(0) == []


async def test_models_are_listed_in_the_shape_that_was_asked_for(
    stack: Stack, client: anthropic.AsyncAnthropic
) -> None:
    await add(stack, "anthropic")
    listed = [model async for model in client.models.list()]
    assert {"gpt-4", MODELS["anthropic"]} <= {model.id for model in listed}
    assert {model.type for model in listed} == {"model"}
    openai = await stack.http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
    assert openai.json()["object"] == "list"
