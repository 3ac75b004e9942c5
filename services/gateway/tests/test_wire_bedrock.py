"""What Converse is asked, and how its frames are read: all of a request crosses, or a refusal names what has no word."""

from __future__ import annotations

import json
import random
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
from common.providers.registry import PROVIDERS
from gateway.providers.errors import ProviderFailed
from gateway.providers.framing import EventTooLarge
from gateway.providers.wire import Outgoing
from gateway.providers.wires.bedrock import StreamDecoder, decode_error, decode_response, decode_usage, encode_request
from gateway.providers.wires.bedrock.frames import BrokenFrame, FrameSplitter

BEDROCK = PROVIDERS["bedrock"]
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HELLO = [{"role": "user", "content": "Hello"}]
TIDE = {"type": "function", "function": {"name": "read_tide", "parameters": {"type": "object"}, "strict": True}}
STREAM = Path(__file__).parent / "fixtures" / "providers" / "bedrock" / "stream.bin"


def encoded(messages: Any = HELLO, *, model: str = CLAUDE, streamed: bool = False, **members: Any) -> Outgoing:
    """A chat request, translated, with 4000 output tokens."""
    raw = msgspec.json.decode(json.dumps({"messages": messages, **members}).encode(), type=dict[str, msgspec.Raw])
    return encode_request(raw, BEDROCK, model, 4000, streamed)


def sent(messages: Any = HELLO, **members: Any) -> dict[str, Any]:
    """The body that goes to Bedrock."""
    return dict(json.loads(encoded(messages, **members).body))


def refused(messages: Any = HELLO, **members: Any) -> ProviderFailed:
    """Why a request cannot be said."""
    with pytest.raises(ProviderFailed) as failed:
        encoded(messages, **members)
    assert (failed.value.client_status, failed.value.was_sent) == (400, False)
    return failed.value


def test_a_model_is_escaped_in_the_path() -> None:
    assert encoded().path == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    assert encoded(model="arn:aws:x/y", streamed=True).path == "/model/arn%3Aaws%3Ax%2Fy/converse-stream"


def test_a_plain_question_and_its_knobs() -> None:
    told = sent(temperature=0.3, top_p=0.8, stop=["A", "B"], service_tier="flex", metadata={"team": "a"})
    assert told == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 4000, "temperature": 0.3, "topP": 0.8, "stopSequences": ["A", "B"]},
        "serviceTier": {"type": "flex"},
        "requestMetadata": {"team": "a"},
    }


def test_what_converse_has_no_word_for_is_dropped_by_name() -> None:
    outgoing = encoded(seed=5, logit_bias={"1": 1}, user="u", response_format={"type": "json_object"})
    assert set(outgoing.dropped) == {"seed", "logit_bias", "user", "response_format"}
    assert encoded(n=1, service_tier="auto", response_format={"type": "text"}).dropped == ()
    assert refused(n=2).param == "n"


def test_a_tool_conversation_becomes_turns_and_its_results_come_together() -> None:
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": "read_tide", "arguments": '{"at":"S"}'}}
        for number in (1, 2)
    ]
    detail = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1"}
    hidden = {"type": "reasoning.encrypted", "data": "eA==", "format": "anthropic-claude-v1"}
    told = sent(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Tide?"},
            {"role": "assistant", "content": None, "tool_calls": calls, "reasoning_details": [detail, hidden]},
            {"role": "tool", "tool_call_id": "c1", "content": "2 m"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "3 m"}]},
            {"role": "user", "content": "So?"},
        ],
        tools=[TIDE],
        tool_choice="required",
    )
    assert told["system"] == [{"text": "Be brief."}]
    assert [turn["role"] for turn in told["messages"]] == ["user", "assistant", "user"]
    assert told["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "eA=="}},
        {"toolUse": {"toolUseId": "c1", "name": "read_tide", "input": {"at": "S"}}},
        {"toolUse": {"toolUseId": "c2", "name": "read_tide", "input": {"at": "S"}}},
    ]
    assert told["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "2 m"}], "status": "success"}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "3 m"}], "status": "success"}},
        {"text": "So?"},
    ]
    assert told["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "read_tide", "inputSchema": {"json": {"type": "object"}}, "strict": True}}],
        "toolChoice": {"any": {}},
    }


def test_thinking_of_another_maker_is_not_shown_to_this_one() -> None:
    detail = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1"}
    messages = [*HELLO, {"role": "assistant", "content": "Yes.", "reasoning_details": [detail]}, *HELLO]
    assert sent(messages, model="amazon.nova-2-lite-v1:0")["messages"][1]["content"] == [{"text": "Yes."}]


def test_tools_that_were_used_are_shown_although_the_client_left_them_out() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "read_tide", "arguments": "{}"}}
    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    told = sent(messages)
    assert [tool["toolSpec"]["name"] for tool in told["toolConfig"]["tools"]] == ["read_tide"]
    assert encoded(messages, tools=[TIDE], tool_choice="none").dropped == ("tool_choice",)
    assert "toolConfig" not in sent(tools=[TIDE], tool_choice="none")


def test_pictures_and_files_cross_and_their_marks_for_the_cache() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"filename": "Tide_table: 2026.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
        {"type": "text", "text": "What?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    assert sent([{"role": "user", "content": content}])["messages"][0]["content"] == [
        {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
        {"document": {"name": "Tide table 2026 2", "format": "pdf", "source": {"bytes": "BBBB"}}},
        {"text": "What?"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video"},
    ],
)
def test_content_that_converse_cannot_take_is_refused_never_dropped(part: dict[str, Any]) -> None:
    refused([{"role": "user", "content": [part]}])


def test_a_schema_is_asked_for_as_text() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "City", "schema": {"type": "object"}, "strict": True}}
    told = sent(response_format=wanted)["outputConfig"]["textFormat"]
    assert told == {
        "type": "json_schema",
        "structure": {"jsonSchema": {"name": "City", "schema": '{"type":"object"}'}},
    }


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        (CLAUDE, "medium", {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (
            "us.anthropic.claude-sonnet-4-6",
            "high",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        ("anthropic.claude-opus-5", "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("openai.gpt-oss-120b-1:0", "xhigh", {"reasoning_effort": "high"}),
        ("qwen.qwen3-32b-v1:0", "high", {"reasoning_config": "high"}),
        ("amazon.nova-2-lite-v1:0", "low", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
    ],
)
def test_each_family_is_told_to_think_in_its_own_way(model: str, effort: str, fields: dict[str, Any]) -> None:
    assert sent(model=model, reasoning_effort=effort)["additionalModelRequestFields"] == fields


def test_who_cannot_be_told_to_think_is_not() -> None:
    assert encoded(model="mistral.mistral-large-2402-v1:0", reasoning_effort="high").dropped == ("reasoning_effort",)
    assert encoded(reasoning_effort="high", temperature=0.2).dropped == ("temperature",)


@pytest.mark.parametrize(
    ("raw", "buckets"),
    [
        ({"inputTokens": 19, "outputTokens": 2, "totalTokens": 21}, (19, 0, 0, 0, 2)),
        (
            {
                "inputTokens": 3,
                "outputTokens": 121,
                "totalTokens": 2072,
                "cacheReadInputTokens": 1712,
                "cacheWriteInputTokens": 236,
                "cacheDetails": [{"inputTokens": 200, "ttl": "1h"}, {"inputTokens": 36, "ttl": "5m"}],
            },
            (3, 1712, 36, 200, 121),
        ),
        ({"inputTokens": 5, "outputTokens": 5, "totalTokens": 14}, (5, 0, 0, 0, 9)),
        ({"inputTokens": -5, "outputTokens": 1.0, "cacheDetails": "x", "serverToolUsage": []}, (0, 0, 0, 0, 1)),
    ],
)
def test_usage_is_disjoint(raw: dict[str, Any], buckets: tuple[int, ...]) -> None:
    usage = decode_usage(raw)
    assert usage is not None
    assert (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.output_tokens,
    ) == buckets


def test_frames_are_the_same_however_they_are_cut() -> None:
    stream = STREAM.read_bytes()
    once = FrameSplitter().feed(stream)
    assert once[0][0] == b"messageStart"
    assert [name for name, _ in once][-2:] == [b"messageStop", b"metadata"]
    draw = random.Random(5)
    for count in (2, 20, 200):
        places = [0, *sorted(draw.randrange(len(stream)) for _ in range(count)), len(stream)]
        splitter = FrameSplitter()
        assert [frame for a, b in pairwise(places) for frame in splitter.feed(stream[a:b])] == once


def test_a_damaged_frame_is_found_wherever_it_is_damaged() -> None:
    stream = STREAM.read_bytes()
    first = struct.unpack_from(">I", stream)[0]
    for place in range(first):
        damaged = bytearray(stream[:first])
        damaged[place] ^= 0x41
        with pytest.raises((BrokenFrame, EventTooLarge)):
            FrameSplitter().feed(bytes(damaged))
    decoder = StreamDecoder(BEDROCK, False, 0, "m")
    decoder.feed(stream[:40] + b"?" + stream[41:])
    assert decoder.failure is not None


def test_a_frame_without_end_is_refused() -> None:
    lengths = struct.pack(">II", 1 << 30, 0)
    prelude = lengths + struct.pack(">I", crc32(lengths))
    with pytest.raises(EventTooLarge):
        FrameSplitter().feed(prelude)
    decoder = StreamDecoder(BEDROCK, False, 0, "m")
    assert decoder.feed(prelude) == b""
    assert decoder.failure is not None


def frame(payload: Any, **headers: str) -> bytes:
    """A frame by hand; `_` in a header's name is a colon or a dash."""
    block = b""
    for name, value in headers.items():
        told = (":" + name.replace("_", "-")).encode()
        block += struct.pack(">B", len(told)) + told + struct.pack(">BH", 7, len(value)) + value.encode()
    block += struct.pack(">B", 5) + b":date" + struct.pack(">Bq", 8, 1_790_000_000_000)
    body = json.dumps(payload).encode()
    lengths = struct.pack(">II", 16 + len(block) + len(body), len(block))
    checked = lengths + struct.pack(">I", crc32(lengths)) + block + body
    return checked + struct.pack(">I", crc32(checked))


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("throttlingException", "rate_limited"),
        ("modelStreamErrorException", "unavailable"),
        ("internalServerException", "unavailable"),
        ("modelTimeoutException", "timeout"),
        ("validationException", "bad_request"),
        ("accessDeniedException", "auth"),
        ("neverSeenException", "unavailable"),
    ],
)
def test_an_exception_in_a_stream_has_its_meaning(name: str, failure: str) -> None:
    decoder = StreamDecoder(BEDROCK, False, 0, "m")
    start = frame({"role": "assistant"}, event_type="messageStart", message_type="event")
    seen = decoder.feed(start + frame({"message": "No."}, exception_type=name, message_type="exception"))
    assert seen
    assert decoder.failure is not None
    assert decoder.failure.failure == failure
    assert decoder.failure.message == ("Amazon Bedrock refused our credential" if failure == "auth" else "No.")


@pytest.mark.parametrize(
    ("status", "message", "failure", "code"),
    [
        (400, "The provided model identifier is invalid.", "not_found", "model_not_found"),
        (400, "Input is too long for requested model.", "bad_request", "context_length_exceeded"),
        (400, "This model doesn't support the s3Uri field.", "bad_request", None),
        (403, "The security token included in the request is expired", "auth", None),
        (404, "nope", "not_found", None),
        (424, "the model failed", "unavailable", None),
        (429, "slow down", "rate_limited", None),
        (503, "later", "unavailable", None),
    ],
)
def test_a_refusal_has_its_meaning(status: int, message: str, failure: str, code: str | None) -> None:
    failed = decode_error(status, json.dumps({"message": message}).encode(), BEDROCK, None)
    assert (failed.failure, failed.code) == (failure, code)


def test_what_a_model_could_not_say_is_a_failure_and_what_a_guardrail_stopped_is_not() -> None:
    def told(reason: str) -> bytes:
        message = {"role": "assistant", "content": [{"text": "Sorry."}]}
        return json.dumps({"output": {"message": message}, "stopReason": reason}).encode()

    with pytest.raises(ProviderFailed):
        decode_response(told("malformed_tool_use"), BEDROCK, 0, "m")
    assert decode_response(told("guardrail_intervened"), BEDROCK, 0, "m").finish_reason == "content_filter"
    assert decode_response(told("something_new"), BEDROCK, 0, "m").finish_reason == "stop"


def test_citations_and_unknown_blocks_cross() -> None:
    citation = {"title": "Almanac", "location": {"web": {"url": "https://example.com"}}}
    blocks = [{"citationsContent": {"content": [{"text": "High."}], "citations": [citation]}}, {"hologram": {"a": 1}}]
    body = json.dumps({"output": {"message": {"content": blocks}}, "stopReason": "end_turn"}).encode()
    message = json.loads(decode_response(body, BEDROCK, 0, "m").body)["choices"][0]["message"]
    assert (message["content"], message["citations"]) == ("High.", [citation])
    assert message["provider_blocks"] == [{"hologram": {"a": 1}}]
