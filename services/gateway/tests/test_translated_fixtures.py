"""Each provider of a wire that is translated has a folder of fixtures, too, in its own words; this reads them all.

A folder holds what `test_provider_fixtures` describes: a whole answer with thinking and two tool calls, the same as a
stream (`stream.sse`, or `stream.bin` where it is binary), and refusals.
"""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from common.providers.registry import PROVIDERS, ProviderRow
from gateway.providers.errors import FailureClass
from gateway.providers.languages import WIRES
from gateway.providers.wire import Answer, StreamDecoder
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from wire_streams import fold, shown

FOLDERS = Path(__file__).parent / "fixtures" / "providers"
ROWS = [row for row in PROVIDERS.values() if row.wire in ("cohere", "bedrock", "responses")]
MEANINGS: list[FailureClass] = ["auth", "rate_limited", "unavailable"]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.type)


def whole(row: ProviderRow) -> Answer:
    """The whole answer, decoded."""
    body = (FOLDERS / row.type / "whole.json").read_bytes()
    return WIRES[row.wire].decode_response(body, row, 1_790_000_000, "asked-model")


def stream_of(row: ProviderRow) -> bytes:
    """The bytes of the stream."""
    [found] = (FOLDERS / row.type).glob("stream.*")
    return found.read_bytes()


def played(row: ProviderRow, stream: bytes, cuts: list[int]) -> tuple[bytes, StreamDecoder]:
    """What a client sees of a stream that comes in the pieces between the cuts, and the decoder at its end."""
    decoder = WIRES[row.wire].decode_stream(row, False, 1_790_000_000, "asked-model")
    places = [0, *sorted(cuts), len(stream)]
    seen = b"".join(decoder.feed(stream[start:end]) for start, end in pairwise(places))
    return seen + decoder.finish(), decoder


@each_row
def test_a_whole_answer_is_a_chat_completion(row: ProviderRow) -> None:
    answer = whole(row)
    told = json.loads(answer.body)
    read = ChatCompletion.model_validate(told, strict=True)
    assert read.id.startswith("chatcmpl-")
    assert (read.created, read.model) == (1_790_000_000, "asked-model")
    message = read.choices[0].message
    assert [call.function.name for call in message.tool_calls or () if call.type == "function"] == [
        "read_tide",
        "read_wind",
    ]
    assert told["choices"][0]["message"]["reasoning_content"]
    assert read.choices[0].finish_reason == answer.finish_reason == "tool_calls"
    assert answer.usage is not None
    assert read.usage is not None
    assert read.usage.total_tokens == answer.usage.total_tokens > 0


@each_row
def test_a_stream_amounts_to_the_whole_answer_however_it_is_cut(row: ProviderRow) -> None:
    answer, stream = whole(row), stream_of(row)
    message: dict[str, Any] = json.loads(answer.body)["choices"][0]["message"]
    draw = random.Random(row.type)
    for cuts in ([], [draw.randrange(len(stream)) for _ in range(60)], list(range(1, len(stream)))):
        seen, decoder = played(row, stream, cuts)
        assert decoder.failure is None
        assert (decoder.usage(), decoder.finish_reason) == (answer.usage, answer.finish_reason)
        assert decoder.delivered_tokens() > 0
        chunks = shown(seen)
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk, strict=True)
        assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        [folded] = fold(chunks)
        assert folded["finish_reason"] == "tool_calls"
        assert folded["content"] == (message["content"] or "")
        assert folded["reasoning"] == message["reasoning_content"]
        assert folded["tool_calls"] == [
            {"id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}
            for call in message["tool_calls"]
        ]


@each_row
def test_a_cut_stream_never_looks_complete(row: ProviderRow) -> None:
    stream = stream_of(row)
    end = next(size for size in range(len(stream)) if played(row, stream[:size], [])[1].failure is None)
    for size in range(0, end, 7):
        failure = played(row, stream[:size], [])[1].failure
        assert failure is not None
        assert failure.failure == "broken"


@each_row
def test_a_refusal_means_what_it_says(row: ProviderRow) -> None:
    refusals = json.loads((FOLDERS / row.type / "refusals.json").read_text("utf-8"))
    for told, meaning in zip(refusals, MEANINGS, strict=True):
        failed = WIRES[row.wire].decode_error(told["status"], json.dumps(told["body"]).encode(), row, 250)
        assert (failed.failure, failed.retry_after_ms) == (meaning, 250)
        if meaning == "auth":
            assert (failed.client_status, failed.message) == (502, f"{row.display_name} refused our credential")
        else:
            assert failed.message == told["body"]["message"]


@each_row
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b'{"message":5}', b"<html>", b'{"output":{"message":1}}'])
def test_what_is_no_answer_fails_and_never_crashes(row: ProviderRow, body: bytes) -> None:
    wire = WIRES[row.wire]
    with pytest.raises(Exception, match=r".") as caught:
        wire.decode_response(body, row, 0, "m")
    assert type(caught.value).__name__ == "ProviderFailed"
    assert wire.decode_error(500, body, row, None).failure == "unavailable"
    _, decoder = played(row, b"data: " + body + b"\n\n", [])
    assert decoder.failure is not None
