"""Two turns with parallel tool calls, streamed by OpenAI's own client, through the native wire of each provider."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import openai
import pytest
from machine import Machine

MODELS = {
    "openai": "o3-pro",  # which is called by the Responses API
    "anthropic": "claude-sonnet-4-5",
    "google": "gemini-2.5-flash",
    "cohere": "command-a",
    "bedrock": "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}
    for name, properties in (("read_tide", {"place": {"type": "string"}}), ("read_wind", {}))
]


async def turn(client: openai.AsyncOpenAI, model: str, messages: list[Any]) -> Any:
    """One streamed turn, put together by the client."""
    async with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as stream:
        return (await stream.get_final_completion()).choices[0]


@pytest.mark.parametrize("provider", MODELS)
async def test_parallel_tools_cross_every_wire(machine: Machine, provider: str) -> None:
    key, before = await machine.make_key(), set(machine.provider_calls())
    messages: list[Any] = [{"role": "user", "content": "Use read_tide and read_wind. [[simulate tool_calls=2]]"}]
    model = f"{provider}/{MODELS[provider]}"
    async with openai.AsyncOpenAI(api_key=key.secret, base_url=f"{machine.url}/v1") as client:
        first = await turn(client, model, messages)
        calls = first.message.tool_calls
        assert first.finish_reason == "tool_calls"
        assert [call.function.name for call in calls] == ["read_tide", "read_wind"]
        assert all(isinstance(json.loads(call.function.arguments), dict) for call in calls)
        messages.append(first.message.model_dump(exclude_none=True, exclude={"parsed"}))
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "2 m"} for call in calls]
        second = await turn(client, model, messages)
    assert second.finish_reason == "stop"
    assert second.message.content
    summary = await machine.summary_of(key, 2)
    assert Decimal(summary["total_cost_usd"]) > 0
    served = {request_id: call for request_id, call in machine.provider_calls().items() if request_id not in before}
    assert [(call["provider"], call["streamed"]) for call in served.values()] == [(provider, True)] * 2
