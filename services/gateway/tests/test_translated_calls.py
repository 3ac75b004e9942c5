"""Calls of providers that speak another language, through the whole gateway and back."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from common.contracts.snapshots import CredentialSnapshot, ProviderSnapshot
from gateway_house import SYSTEM_SECRETS
from gateway_stack import KEY, Stack, model_snapshot

MODELS = {"cohere": "command-a-03-2025", "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0"}
REPORTED_THINKING = {"cohere": 4, "bedrock": 0}
"""Of the four tokens of thinking that are ordered, those that the provider tells apart from its output."""
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
        },
    }
    for name in ("read_tide", "read_wind")
]


async def open_provider(stack: Stack, provider_type: str) -> str:
    """Make a provider callable on the simulator; the name of its model."""
    model = MODELS[provider_type]
    snapshot = ProviderSnapshot(id=provider_type, name=provider_type, provider_type=provider_type, display_name="X")
    await stack.put("catalog", f"provider.{provider_type}", snapshot)
    await stack.put("catalog", f"model.{provider_type}", model_snapshot(provider_type, model, "2", "8"))
    credential = CredentialSnapshot(id="cred-custom", provider_type=provider_type, version=1, on_simulator=True)
    await stack.put("credentials", "cred-custom", credential)
    await stack.is_callable(f"{provider_type}/{model}")
    return f"{provider_type}/{model}"


@pytest.mark.parametrize("provider_type", MODELS)
async def test_two_tools_at_once_are_called_and_answered_in_streams(stack: Stack, provider_type: str) -> None:
    model = await open_provider(stack, provider_type)
    messages: list[Any] = [{"role": "user", "content": "Use read_tide and read_wind. [[simulate reasoning_tokens=4]]"}]
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{stack.url}/v1", max_retries=0) as client:
        async with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as stream:
            async for _ in stream:
                pass
            first = (await stream.get_final_completion()).choices[0]
        assert first.finish_reason == "tool_calls"
        calls = first.message.tool_calls or []
        assert [call.function.name for call in calls] == ["read_tide", "read_wind"]
        assert all(json.loads(call.function.arguments)["at"] for call in calls)
        messages.append(first.message.model_dump(exclude_none=True, exclude={"parsed"}))
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "2"} for call in calls]
        second = await client.chat.completions.create(
            model=model, messages=messages, tools=TOOLS, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in second]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    told = await stack.events(2)
    assert [event.usage.estimated for event in told] == [False, False]
    assert told[0].usage.reasoning_tokens == REPORTED_THINKING[provider_type]
    assert told[1].usage.total_tokens == chunks[-1].usage.total_tokens
    assert all(event.raw_usage for event in told)


@pytest.mark.parametrize("provider_type", MODELS)
async def test_a_whole_answer_names_who_gave_it_and_what_was_dropped(stack: Stack, provider_type: str) -> None:
    model = await open_provider(stack, provider_type)
    answer = await stack.chat(model=model, logit_bias={"5": 1})
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].startswith("Hello!")
    assert answer.json()["model"] == MODELS[provider_type]
    assert answer.headers["x-tollgate-dropped-params"] == "logit_bias"
    assert answer.headers["x-tollgate-provider"] == provider_type
    [told] = await stack.events(1)
    assert told.usage.total_tokens == answer.json()["usage"]["total_tokens"]
    assert tuple(told.dropped_params) == ("logit_bias",)
    refused = await stack.chat(model=model, logit_bias={"5": 1}, drop_params=False)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "logit_bias")


@pytest.mark.parametrize("provider_type", MODELS)
@pytest.mark.parametrize(("status", "seen"), [(400, 400), (401, 502), (429, 429), (503, 502)])
async def test_a_refusal_is_told_in_openais_shape(stack: Stack, provider_type: str, status: int, seen: int) -> None:
    model = await open_provider(stack, provider_type)
    for streamed in (False, True):
        refused = await stack.chat(f"[[simulate status={status} retry_after=2]]", model=model, stream=streamed)
        assert refused.status_code == seen
        assert refused.json()["error"]["message"]
        assert (refused.headers.get("retry-after") == "2") == (status in (429, 503))


@pytest.mark.parametrize("provider_type", MODELS)
async def test_a_stream_that_breaks_ends_in_an_error(stack: Stack, provider_type: str) -> None:
    model = await open_provider(stack, provider_type)
    for order in ("cut_after=5", "error_at=5", "malformed_at=5"):
        answer = await stack.chat(f"[[simulate {order} tokens=20 chunk_ms=20]]", model=model, stream=True)
        assert answer.status_code == 200
        assert b'data: {"error"' in answer.content
        assert b"[DONE]" not in answer.content


@pytest.mark.parametrize(("secret", "status"), [("simulated-secret", 200), ("another-secret", 502)])
async def test_bedrock_takes_a_signature_for_a_key(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, secret: str, status: int
) -> None:
    """The simulator checks it as AWS does, over the escaped path and the body; a wrong one is refused."""
    monkeypatch.setitem(SYSTEM_SECRETS, "cred-custom", f"sim-ok-key:{secret}")
    model = await open_provider(stack, "bedrock")
    for streamed in (False, True):
        assert (await stack.chat("Grüße", model=model, stream=streamed)).status_code == status
