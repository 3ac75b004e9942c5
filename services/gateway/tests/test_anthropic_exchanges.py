"""What Anthropic really sends, through the wire: all of it is read, counted and shown, whole and in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.usage import Usage
from exchange_checks import (
    COUNT,
    answer_of,
    folds_to_the_whole,
    has_no_negative_bucket,
    in_pieces,
    is_the_same_however_cut,
    named,
    never_looks_complete,
)
from gateway.providers.errors import ProviderFailed
from gateway.providers.wires.anthropic import decode_error, decode_response, decode_usage
from hypothesis import given
from hypothesis import strategies as st
from native import CREATED, decoded, told
from native_exchanges import native_exchanges
from recordings import Exchange

ALL = [one for one in native_exchanges("/messages") if one.provider.wire == "anthropic"]
WHOLE = [one for one in ALL if one.status == 200 and one.stream is None]
STREAMS = [one for one in ALL if one.stream is not None]
REFUSED = [one for one in ALL if one.status != 200]
ANTHROPIC = ALL[0].provider


def total(raw: dict[str, Any]) -> int:
    """Everything that a report says was used."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    return sum(raw.get(name) or 0 for name in names)


def streamed(message: dict[str, Any]) -> bytes:
    """A whole answer as the provider would have streamed it, a few characters at a time."""
    frames: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {**message, "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}},
        }
    ]
    for index, block in enumerate(message["content"]):
        opening, deltas = _pieces(block)
        frames += [{"type": "content_block_start", "index": index, "content_block": opening}, {"type": "ping"}]
        frames += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        frames += [{"type": "content_block_stop", "index": index}]
    delta = {"stop_reason": message["stop_reason"], "stop_details": message.get("stop_details")}
    frames += [{"type": "message_delta", "delta": delta, "usage": message["usage"]}, {"type": "message_stop"}]
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}  \n\n".encode() for one in frames)


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "text":
        cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations") or ()]
        opening = {"type": "text", "text": "", **({"citations": []} if cited else {})}
        return opening, [*({"type": "text_delta", "text": piece} for piece in in_pieces(block["text"])), *cited]
    if block["type"] == "thinking":
        thought = [{"type": "thinking_delta", "thinking": piece} for piece in in_pieces(block["thinking"])]
        return {"type": "thinking", "thinking": "", "signature": ""}, [
            *thought,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if "input" in block:
        text = json.dumps(block["input"], separators=(",", ":"), ensure_ascii=False)
        pieces = in_pieces(text) if block["input"] else [""]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


def test_there_are_answers_streams_and_refusals() -> None:
    assert WHOLE
    assert STREAMS
    assert REFUSED


@named(WHOLE)
def test_a_whole_answer_is_read_and_its_content_shown(exchange: Exchange) -> None:
    answer = answer_of(exchange)
    raw = exchange.response["usage"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == total(raw)
    read = json.loads(answer.body)
    assert read["usage"]["total_tokens"] == total(raw)
    assert (read["object"], read["created"], read["model"]) == ("chat.completion", CREATED, exchange.response["model"])
    message, blocks = told(answer.body), exchange.response["content"]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    assert message.get("content", "") == "".join(texts)
    calls = [json.loads(call["function"]["arguments"]) for call in message.get("tool_calls", ())]
    assert calls == [block["input"] for block in blocks if block["type"] == "tool_use"]
    assert message["finish_reason"] in {"stop", "length", "tool_calls", "content_filter"}
    others = [one for one in blocks if one["type"] not in ("text", "thinking", "tool_use", "redacted_thinking")]
    assert [one for one in message.get("provider_blocks", ()) if one["type"] != "text"] == others


@named(WHOLE)
def test_a_folded_stream_is_the_whole_however_it_is_cut(exchange: Exchange) -> None:
    folds_to_the_whole(exchange, streamed(exchange.response))


@named(STREAMS)
def test_a_recorded_stream_is_the_same_however_it_is_cut(exchange: Exchange) -> None:
    decoder = is_the_same_however_cut(exchange)
    usage = decoder.usage()
    assert decoder.is_done
    assert decoder.raw_usage is not None
    assert usage is not None
    assert usage.total_tokens == total(decoder.raw_usage)


@named(STREAMS)
def test_a_stream_that_breaks_off_never_looks_complete_and_its_output_is_estimated(exchange: Exchange) -> None:
    for decoder in never_looks_complete(exchange, b"event: message_delta"):
        usage = decoder.usage()
        assert usage is None or (usage.estimated and usage.output_tokens >= decoder.delivered_tokens())


@named(REFUSED)
def test_a_refusal_keeps_its_words(exchange: Exchange) -> None:
    failed = decode_error(exchange.status, json.dumps(exchange.response).encode(), exchange.provider, None)
    error = exchange.response["error"]
    if failed.failure != "auth":
        assert (failed.client_status, failed.message, failed.error_type) == (
            exchange.status if failed.row.client_status is None else failed.row.client_status,
            error["message"],
            error["type"],
        )


@pytest.mark.parametrize(
    ("status", "kind", "message", "failure", "seen", "falls_back", "code"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", "bad_request", 400, False, None),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", "bad_request", 400, False,
         "context_length_exceeded"),
        (400, "invalid_request_error", "Your credit balance is too low to use it", "auth", 502, True, None),
        (401, "authentication_error", "invalid x-api-key sk-ant-1234", "auth", 502, True, None),
        (402, "billing_error", "pay", "auth", 502, True, None),
        (403, "permission_error", "no", "auth", 502, True, None),
        (404, "not_found_error", "model: x", "not_found", 404, True, None),
        (413, "request_too_large", "too large", "bad_request", 413, False, None),
        (429, "rate_limit_error", "slow down", "rate_limited", 429, True, None),
        (500, "api_error", "oh", "unavailable", 502, True, None),
        (504, "gateway_timeout_error", "late", "timeout", 504, True, None),
        (529, "overloaded_error", "Overloaded", "unavailable", 502, True, None),
    ],
)  # fmt: skip
def test_each_error_has_its_class(
    status: int, kind: str, message: str, failure: str, seen: int, falls_back: bool, code: str | None
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req"}).encode()
    failed = decode_error(status, body, ANTHROPIC, 1500)
    assert (failed.failure, failed.client_status, failed.row.falls_back) == (failure, seen, falls_back)
    assert (failed.code, failed.retry_after_ms) == (code, 1500)
    assert "sk-ant" not in failed.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"type":7}}'])
def test_a_refusal_of_any_shape_is_one(body: bytes) -> None:
    assert decode_error(503, body, ANTHROPIC, None).failure == "unavailable"


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"content":[],"stop_reason":null}', b'{"content":7,"stop_reason":"end_turn"}',
     b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'],
)  # fmt: skip
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(ProviderFailed):
        decode_response(body, ANTHROPIC, CREATED, "asked")


def test_an_error_in_a_stream_is_a_failure_before_anything_was_shown() -> None:
    begun = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":5}}}\n\n'
    trouble = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    seen, decoder = decoded(ANTHROPIC, begun + trouble)
    assert seen == b""
    assert decoder.failure is not None
    assert (decoder.failure.failure, decoder.failure.client_status) == ("unavailable", 502)


def test_cache_writes_are_split_by_how_long_they_live() -> None:
    raw = {"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 12}
    split = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 2}
    assert decode_usage({**raw, "cache_creation": split}) == Usage(3, 5, 10, 2, 9)
    assert decode_usage(raw) == Usage(3, 5, 12, 0, 9)


@given(st.fixed_dictionaries({}, optional={
    "input_tokens": COUNT, "output_tokens": COUNT, "cache_read_input_tokens": COUNT,
    "cache_creation_input_tokens": COUNT, "cache_creation": st.dictionaries(st.sampled_from(
        ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]), COUNT),
    "output_tokens_details": st.fixed_dictionaries({"thinking_tokens": COUNT}) | COUNT,
    "server_tool_use": st.dictionaries(st.sampled_from(["web_search_requests", "x"]), COUNT) | COUNT,
}))  # fmt: skip
def test_no_report_makes_a_negative_bucket(raw: dict[str, Any]) -> None:
    has_no_negative_bucket(decode_usage(raw))
