"""Reports that contradict themselves: what cannot be is clamped and flagged, and never becomes a negative line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.usage import TOKEN_BUCKETS
from gateway.api.responses.requests import parse_responses
from gateway.api.responses.voice import ResponsesVoice
from gateway.api.voices import MessagesVoice
from gateway.providers.languages import WIRES
from gateway.providers.wires import responses
from hypothesis import given
from hypothesis import strategies as st

DECODERS = {**{name: wire.decode_usage for name, wire in WIRES.items()}, "responses": responses.decode_usage}
NUMBERS = st.integers(-5, 50) | st.none() | st.floats(allow_nan=False, min_value=-5, max_value=50) | st.text(max_size=2)
NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "input_tokens",
    "output_tokens",
    "promptTokenCount",
    "candidatesTokenCount",
    "totalTokenCount",
    "thoughtsTokenCount",
    "cachedContentTokenCount",
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "thinking_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "ephemeral_1h_input_tokens",
    "ephemeral_5m_input_tokens",
    "prompt_cache_hit_tokens",
]
INSIDE = st.dictionaries(st.sampled_from(NAMES), NUMBERS, max_size=6)
REPORTS = st.builds(
    lambda flat, deep: {**flat, **deep},
    st.dictionaries(st.sampled_from(NAMES), NUMBERS, max_size=10),
    st.dictionaries(
        st.sampled_from(
            [
                "prompt_tokens_details",
                "completion_tokens_details",
                "input_tokens_details",
                "output_tokens_details",
                "cache_creation",
                "billed_units",
                "tokens",
            ]
        ),
        INSIDE | NUMBERS,
        max_size=4,
    ),
)


@given(REPORTS, st.sampled_from(sorted(DECODERS)))
def test_no_report_makes_a_negative_line(report: dict[str, Any], wire: str) -> None:
    usage = DECODERS[wire](report)
    if usage is not None:
        assert all(getattr(usage, bucket) >= 0 for bucket in TOKEN_BUCKETS)
        assert all(count >= 0 for count in usage.units.values())


@pytest.mark.parametrize(
    ("wire", "report"),
    [
        ("openai", {"prompt_tokens": 208, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 314}}),
        ("openai", {"prompt_tokens": 43, "completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 11}}),
        ("openai", {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 7}),
        ("responses", {"input_tokens": 1, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 2}}),
        ("responses", {"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 2}}),
        ("gemini", {"promptTokenCount": 5, "cachedContentTokenCount": 6, "totalTokenCount": 5}),
        ("gemini", {"promptTokenCount": 5, "candidatesTokenCount": 6, "totalTokenCount": 5}),
        ("anthropic", {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 3}}),
        ("anthropic", {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 1,
                       "cache_creation": {"ephemeral_5m_input_tokens": 2}}),
        ("bedrock", {"inputTokens": 5, "outputTokens": 5, "totalTokens": 9}),
        ("cohere", {"billed_units": {"input_tokens": 1, "output_tokens": 1}, "tokens": {"reasoning_tokens": 2}}),
    ],
)  # fmt: skip
def test_a_report_that_contradicts_itself_is_flagged_in_the_event(wire: str, report: dict[str, Any]) -> None:
    usage = DECODERS[wire](report)
    assert usage is not None
    assert usage.anomalous
    assert usage.as_event()["anomalous"] is True


@pytest.mark.parametrize(
    ("wire", "report"),
    [
        ("openai", {"prompt_tokens": 204, "completion_tokens": 1, "total_tokens": 287,
                    "completion_tokens_details": {"reasoning_tokens": 82}}),
        ("openai", {"prompt_tokens": 10, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 10}}),
        ("gemini", {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 10}),
        ("bedrock", {"inputTokens": 5, "outputTokens": 5, "cacheReadInputTokens": 90, "totalTokens": 10}),
        ("cohere", {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 70}, "cached_tokens": 60}),
    ],
)  # fmt: skip
def test_a_report_of_unusual_shape_is_no_contradiction(wire: str, report: dict[str, Any]) -> None:
    usage = DECODERS[wire](report)
    assert usage is not None
    assert not usage.anomalous


@given(REPORTS | st.lists(st.integers(), max_size=2) | st.text(max_size=2))
def test_no_report_keeps_an_answer_from_being_said_in_another_dialect(report: Any) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    whole = json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": report}).encode()
    last = b"data: " + json.dumps({"choices": [], "usage": report if isinstance(report, dict) else {}}).encode()
    for voice in (MessagesVoice, responses_voice):
        told = json.loads(voice().whole(whole))["usage"]
        ended = voice().end(last + b"\n\ndata: [DONE]\n\n")
        assert b"_stop" in ended or b"response.completed" in ended
        assert told["input_tokens"] >= 0
        assert told["output_tokens"] >= 0


def responses_voice() -> ResponsesVoice:
    """A voice of the Responses API."""
    asked = parse_responses(b'{"model": "m", "input": "Hi"}')
    return ResponsesVoice(asked, "0-1", lambda: 7, can_keep=True)
