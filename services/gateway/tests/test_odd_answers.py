"""What no provider should say and no client should send: it fails as what it is, and never as a fault of ours."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from common.providers.registry import PROVIDERS
from gateway.api.operations import OPERATIONS
from gateway.providers.completions import COMPLETIONS
from gateway.providers.errors import ProviderFailed
from gateway.providers.languages import RELAYED
from gateway.providers.operations import EMBEDDINGS, SPEECH

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
