"""What no provider should say and no client should send: it fails as what it is, and never as a fault of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from common.providers.registry import PROVIDERS
from gateway.api.chat import parse_chat
from gateway.api.operations import OPERATIONS
from gateway.providers.completions import COMPLETIONS
from gateway.providers.errors import ProviderFailed
from gateway.providers.languages import RELAYED, WIRES
from gateway.providers.operations import EMBEDDINGS, SPEECH
from gateway.shapes import Refusal

OPENAI, BEDROCK = PROVIDERS["openai"], PROVIDERS["bedrock"]
OLD = "gpt-3.5-turbo-instruct"
CONTINUED = {"object": "text_completion", "model": "m", "choices": [{"text": "a", "index": 0, "finish_reason": "stop"}]}


def members(**given: Any) -> dict[str, msgspec.Raw]:
    """A request's members."""
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in given.items()}


@pytest.mark.parametrize("vector", [[1e300], ["a"], [None], [[1.0]], 7])
@pytest.mark.parametrize("provider", ["openai", "google", "cohere", "bedrock"])
def test_vectors_that_are_no_floats_break_the_answer(provider: str, vector: Any) -> None:
    row = PROVIDERS[provider]
    told: dict[str, Any] = {
        "openai": {"object": "list", "data": [{"embedding": vector}]},
        "google": {"embeddings": [{"values": vector}]},
        "cohere": {"embeddings": {"float": [vector]}},
        "bedrock": {"embedding": vector},
    }
    wire = EMBEDDINGS.wire(members(input="a", encoding_format="base64"), row)
    with pytest.raises(ProviderFailed) as failed:
        wire.decode_response(json.dumps(told[provider]).encode(), row, 0, "m")
    assert failed.value.failure == "broken"


@pytest.mark.parametrize("usage", [[], "many", 3])
@pytest.mark.parametrize("tier", [7, ["flex"], {}])
def test_reports_of_no_known_shape_stay_out_of_the_event(usage: Any, tier: Any) -> None:
    odd: dict[str, Any] = {"usage": usage, "service_tier": tier}
    relayed: dict[str, Any] = {
        "responses": {"id": "r", "status": "completed", "output": [], **odd},
        "anthropic": {"id": "m", "stop_reason": "end_turn", "content": [], "usage": usage},
    }
    answers = [RELAYED[name].wire.decode_response(json.dumps(body).encode(), OPENAI, 0, "m")  # type: ignore[index]
               for name, body in relayed.items()]  # fmt: skip
    completed = COMPLETIONS.wire(members(prompt="a"), OPENAI)
    answers.append(completed.decode_response(json.dumps({**CONTINUED, **odd}).encode(), OPENAI, 0, OLD))
    assert {(one.usage, one.raw_usage, one.service_tier) for one in answers} == {(None, None, None)}


def test_a_tier_that_is_no_word_is_none() -> None:
    told = {"stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": ["priority"]}}
    answer = RELAYED["anthropic"].wire.decode_response(json.dumps(told).encode(), OPENAI, 0, "m")
    assert (answer.service_tier, answer.usage is not None) == (None, True)
    decoder = RELAYED["anthropic"].wire.decode_stream(OPENAI, True, 0, "m")
    decoder.feed(b'data: {"type":"message_start","message":{"usage":{"input_tokens":1,"service_tier":7}}}\n\n')
    assert decoder.service_tier is None


def test_a_chunk_without_all_members_is_told_as_a_continuation() -> None:
    decoder = COMPLETIONS.wire(members(prompt="a"), OPENAI).decode_stream(OPENAI, False, 0, "gpt-4")
    told = decoder.feed(b'data: {"id":"c","choices":[{"delta":{"content":"Hi"}}]}\n\n')
    assert json.loads(told.removeprefix(b"data: "))["choices"] == [
        {"text": "Hi", "index": 0, "logprobs": None, "finish_reason": None}
    ]
    assert decoder.feed(b'data: {"id":"c","object":"chat.completion.chunk"}\n\n') == b""
    assert decoder.failure is None


def test_what_cannot_be_read_of_a_completion_is_refused_before_it_is_sent() -> None:
    asked = {**members(prompt="a"), "far": msgspec.Raw(b"1e999")}
    with pytest.raises(ProviderFailed) as failed:
        COMPLETIONS.wire(asked, BEDROCK).encode_request(asked, BEDROCK, "amazon.nova-lite-v1:0", 9, False)
    assert (failed.value.failure, failed.value.was_sent) == ("untranslatable", False)


@pytest.mark.parametrize("given", [None, "mp3"])
def test_speech_of_no_named_format_is_the_usual_one(given: str | None) -> None:
    wire = SPEECH.wire(members(response_format=given), OPENAI)
    assert wire.decode_response(b"ID3", OPENAI, 0, "tts-1").content_type == b"audio/mpeg"


def test_a_picture_to_be_moderated_is_left_out_of_the_text_and_nothing_else_is() -> None:
    url = {"url": "data:image/png;base64," + "A" * 5_000}
    inputs: list[Any] = ["a text", {"type": "image_url", "image_url": url, "far": [1e15] * 500}]
    body = json.dumps({"input": inputs}).replace("1000000000000000.0", "1e15").encode()
    read = OPERATIONS["/moderations"](body, {})
    assert (read.attachments, read.inputs) == (1, 2)
    assert 3_000 < read.text_bytes == len(body) - len(json.dumps(url)) < len(body) - 5_000


ODD: list[Any] = [1, "x", [1], [[]], {}, [{}], [None], True, 2**70, [{"id": "a", "type": "function"}],
                  [{"type": "function", "function": []}], [{"id": 1, "function": {"name": 1, "arguments": 1}}]]  # fmt: skip
TRANSLATED = {
    "anthropic": "anthropic",
    "gemini": "google",
    "cohere": "cohere",
    "bedrock": "bedrock",
    "responses": "openai",
}
SAID = {"role": "user", "content": "x"}


def odd_requests() -> Iterator[dict[str, Any]]:
    """Requests with one member, at one place, that no API describes."""
    for name in (
        "tools",
        "tool_choice",
        "stop",
        "response_format",
        "reasoning",
        "functions",
        "metadata",
        "temperature",
    ):
        yield from ({"messages": [SAID], name: odd} for odd in ODD)
    for role in ("user", "assistant", "tool"):
        for name in ("tool_calls", "function_call", "reasoning_details", "provider_blocks", "tool_call_id"):
            yield from ({"messages": [SAID, {"role": role, "content": "a", name: odd}]} for odd in ODD)
        for name in ("text", "image_url", "input_audio", "file", "refusal"):
            yield from ({"messages": [{"role": role, "content": [{"type": name, name: odd}]}]} for odd in ODD)


@pytest.mark.parametrize("wire", TRANSLATED)
def test_requests_that_no_api_describes_are_translated_or_refused(wire: Any) -> None:
    """Whatever else became of one would be a 500, with a hold that nobody gives back at once."""
    provider, read = PROVIDERS[TRANSLATED[wire]], 0
    refused: list[tuple[str, bool]] = []
    for told in odd_requests():
        with suppress(Refusal):
            request = parse_chat(json.dumps({"model": "m", **told}).encode())
            read += 1
            try:
                WIRES[wire].encode_request(request.members, provider, "m", 100, False)
            except ProviderFailed as failed:
                refused.append((failed.failure, failed.was_sent))
    assert set(refused) == {("untranslatable", False)}
    assert read > len(refused) > 100


def test_what_anothers_own_tools_did_is_not_sent_to_a_provider() -> None:
    of_openai = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    of_anthropic = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    of_google = {"executableCode": {"code": "1"}}
    answered = {"role": "assistant", "content": "a", "provider_blocks": [of_openai, of_anthropic, of_google]}
    told = members(messages=[SAID, answered, SAID])
    kept = {
        "responses": json.loads(WIRES["responses"].encode_request(told, OPENAI, "gpt-5", 9, False).body)["input"],
        "anthropic": json.loads(
            WIRES["anthropic"].encode_request(told, PROVIDERS["anthropic"], "claude-sonnet-4-5", 9, False).body
        )["messages"][1]["content"],
    }
    assert [item for item in kept["responses"] if item["type"] != "message"] == [of_openai]
    assert [block for block in kept["anthropic"] if block["type"] != "text"] == [of_anthropic]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "run", "input": "ls"},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "run", "arguments": '{"a":1}'},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "So."}]},
        {"type": "message", "id": "m_1", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "message", "id": "m_1", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_announced", [True, False])
def test_an_item_that_does_not_come_in_pieces_is_shown_at_its_end(item: dict[str, Any], is_announced: bool) -> None:
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"status": "completed", "output": [item]}},
    ]
    if is_announced:
        events.insert(0, {"type": "response.output_item.added", "output_index": 0, "item": item})
    decoder = WIRES["responses"].decode_stream(OPENAI, False, 0, "m")
    chunks = decoder.feed(b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in events))
    deltas = [json.loads(chunk[6:])["choices"][0]["delta"] for chunk in chunks.split(b"\n\n")[:-1]]
    whole = WIRES["responses"].decode_response(json.dumps(events[-1]["response"]).encode(), OPENAI, 0, "m")
    message = json.loads(whole.body)["choices"][0]["message"]
    for name in ("content", "refusal", "reasoning_content"):
        assert "".join(delta.get(name) or "" for delta in deltas) == (message.get(name) or "")
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    told = [call.get("custom") or call.get("function") for call in calls]
    texts = ["".join(one.get(name) or "" for one in told) for name in ("name", "input", "arguments")]
    [wanted] = [call.get("custom") or call.get("function") for call in message.get("tool_calls", ())] or [{}]
    assert texts == [wanted.get(name, "") for name in ("name", "input", "arguments")]
