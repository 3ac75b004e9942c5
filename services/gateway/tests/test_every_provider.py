"""Every provider of the registry, through the whole gateway and in its own words: a story with tools in two turns, and each
of its capabilities once; what is answered has OpenAI's published shape. The page of providers (`docs/providers.md`) is
told by this."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from common.providers.registry import PROVIDERS, Capability
from gateway_house import Caller, House
from native import folded
from operated import add_model
from published import check, check_chunk, check_completion, check_error, check_event, check_response
from test_operations import wav
from wire_streams import shown

RATES = {"input_tokens": "1", "output_tokens": "2", "images": "0.01", "rerank_searches": "0.002"}
RATES |= {"input_characters": "0.00001", "input_audio_seconds": "0.0001"}
MODELS = {"anthropic": "claude-sonnet-4-5", "google": "gemini-2.5-flash", "vertex": "gemini-2.5-flash"}
MODELS |= {"cohere": "command-a-03-2025", "bedrock": "amazon.nova-lite-v1:0"}
NAMED: dict[tuple[str, Capability], str] = {
    ("bedrock", "embeddings"): "amazon.titan-embed-text-v2:0",
    ("google", "image"): "gemini-2.5-flash-image",
    ("google", "speech"): "gemini-2.5-flash-preview-tts",
    ("vertex", "embeddings"): "text-embedding-005",
    ("vertex", "image"): "imagen-4.0-generate-001",
    ("vertex", "speech"): "gemini-2.5-flash-tts",
}
"""Models by whose name a provider knows how it is asked."""
OLD = "gpt-3.5-turbo-instruct"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}
    for name, properties in (("read_tide", {"place": {"type": "string"}}), ("read_wind", {}))
]
SCHEMA = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
ASKED: dict[Capability, tuple[str, dict[str, Any]]] = {
    "completion": ("completions", {"json": {"prompt": "Say hello!"}}),
    "embeddings": ("embeddings", {"json": {"input": "a folded map"}}),
    "moderation": ("moderations", {"json": {"input": "a folded map"}}),
    "rerank": ("rerank", {"json": {"query": "map", "documents": ["a folded map", "rain"]}}),
    "image": ("images/generations", {"json": {"prompt": "a folded map"}}),
    "speech": ("audio/speech", {"json": {"input": "a folded map", "voice": "alloy"}}),
    "transcription": ("audio/transcriptions", {"files": {"file": ("a.wav", wav(0.1))}}),
    "translation": ("audio/translations", {"files": {"file": ("a.wav", wav(0.1))}}),
}
PUBLISHED: dict[Capability, str] = {
    "completion": "completion",
    "embeddings": "embeddings",
    "moderation": "moderations",
    "image": "images",
    "transcription": "transcription",
    "translation": "translation",
}
"""What the answers are called in OpenAI's document; rankings it does not know, and speech is a sound."""
DONE = [(row.type, capability) for row in PROVIDERS.values() for capability in row.capabilities if capability in ASKED]

each_provider = pytest.mark.parametrize("provider", PROVIDERS)


async def turn(house: House, caller: Caller, model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """One streamed turn."""
    options = {"include_usage": True}
    answer = await house.ask(caller, model=model, messages=messages, tools=TOOLS, stream=True, stream_options=options)
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    *chunks, last = shown(answer.content.removesuffix(b"data: [DONE]\n\n"))
    for chunk in [*chunks, last]:
        check_chunk(chunk)
    assert (last["choices"], last["usage"]["total_tokens"] > 0) == ([], True)
    return folded(b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks))


@each_provider
async def test_two_streamed_turns_with_parallel_tools(house: House, provider: str) -> None:
    model = await add_model(house, provider, MODELS.get(provider, "a-model"), RATES)
    caller = await house.caller()
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Use read_tide. [[simulate tool_calls=2]]"}]
    first = await turn(house, caller, model, messages)
    assert [call["function"]["name"] for call in first["tool_calls"]] == ["read_tide", "read_wind"]
    assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in first["tool_calls"])
    assert first["finish_reason"] == "tool_calls"
    messages.append({"role": "assistant", "content": None, "tool_calls": first["tool_calls"]})
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": "2 m"} for call in first["tool_calls"]]
    second = await turn(house, caller, model, messages)
    assert (bool(second["content"]), second["finish_reason"]) == (True, "stop")
    events = await house.told(caller, 2)
    assert [(event.provider_type, event.status, event.usage.estimated) for event in events] == [
        (provider, "completed", False)
    ] * 2


@each_provider
async def test_a_picture_goes_and_an_answer_to_a_schema_comes(house: House, provider: str) -> None:
    model = await add_model(house, provider, MODELS.get(provider, "a-model"), RATES)
    caller = await house.caller()
    parts = [{"type": "text", "text": "How many?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    wanted = {"type": "json_schema", "json_schema": {"name": "counted", "schema": SCHEMA, "strict": True}}
    answer = await house.ask(
        caller, model=model, messages=[{"role": "user", "content": parts}], response_format=wanted, max_tokens=200
    )
    assert answer.status_code == 200, answer.text
    check_completion(answer.json(), is_relayed=PROVIDERS[provider].wire == "openai")
    assert isinstance(json.loads(answer.json()["choices"][0]["message"]["content"])["count"], int)
    assert "response_format" not in answer.headers.get("x-tollgate-dropped-params", "")


@each_provider
async def test_a_response_whole_and_streamed_and_a_refusal_are_as_published(house: House, provider: str) -> None:
    model = await add_model(house, provider, MODELS.get(provider, "a-model"), RATES)
    caller = await house.caller()
    functions = [{"type": "function", "strict": False, **tool["function"]} for tool in TOOLS]
    asked = {"model": model, "input": "Use read_tide. [[simulate tool_calls=2]]", "tools": functions}
    whole = await house.http.post("/v1/responses", headers=caller.headers, json=asked)
    assert whole.status_code == 200, whole.text
    check_response(whole.json())
    streamed = await house.http.post("/v1/responses", headers=caller.headers, json={**asked, "stream": True})
    events = [json.loads(event.partition("\ndata: ")[2]) for event in streamed.text.split("\n\n")[:-1]]
    for event in events:
        check_event(event)
    assert events[-1]["type"] == "response.completed"
    refused = await house.ask(caller, "[[simulate status=400]]", model=model)
    assert refused.status_code == 400
    check_error(refused.json(), 400)


@pytest.mark.parametrize(("provider", "capability"), DONE)
async def test_a_capability_is_done_and_paid(house: House, provider: str, capability: Capability) -> None:
    usual = OLD if capability == "completion" else f"does-{capability}"
    model = await add_model(house, provider, NAMED.get((provider, capability), usual), RATES)
    caller = await house.caller()
    answer = await _asked(house, caller, model, capability)
    assert answer.status_code == 200, answer.text
    if capability in PUBLISHED:
        check(PUBLISHED[capability], answer.json())
    assert answer.headers["x-tollgate-provider"] == provider
    [event] = await house.told(caller)
    assert (event.provider_type, event.status) == (provider, "completed")
    assert str(event.cost_usd) == answer.headers["x-tollgate-cost-usd"]


async def _asked(house: House, caller: Caller, model: str, capability: Capability) -> httpx2.Response:
    path, body = ASKED[capability]
    sent = {"json": {"model": model, **body["json"]}} if "json" in body else {**body, "data": {"model": model}}
    return await house.http.post(f"/v1/{path}", headers=caller.headers, **sent)
