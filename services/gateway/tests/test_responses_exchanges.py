"""What OpenAI and its like really send by the Responses API, through the wire: all of it is read, counted and shown."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from common.providers.registry import PROVIDERS, wire_for
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
from gateway.providers.languages import RELAYED
from gateway.providers.wires.responses import decode_error, decode_response, decode_usage, encode_request
from gateway.providers.wires.responses.compaction import COMPACTION
from hypothesis import given
from hypothesis import strategies as st
from native import CREATED, told
from native_exchanges import native_exchanges
from recordings import Exchange

ALL = native_exchanges("/responses")
RUNNING = ("queued", "in_progress")
WHOLE = [one for one in ALL if one.status == 200 and one.stream is None and one.response.get("status") not in RUNNING]
STREAMS = [one for one in ALL if one.stream is not None and "response.completed" in one.stream]
REFUSED = [one for one in ALL if one.status != 200]
OPENAI = PROVIDERS["openai"]
KNOWN = ("message", "reasoning", "function_call", "custom_tool_call", "image_generation_call")


def streamed(response: dict[str, Any]) -> bytes:
    """A whole answer as the provider would have streamed it, a few characters at a time."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": kind, "response": begun} for kind in ("response.created", "response.queued")
    ]
    for index, item in enumerate(response["output"]):
        empty = {name: value for name, value in item.items() if name not in ("content", "summary", "encrypted_content")}
        empty |= {"arguments": ""} if item["type"] == "function_call" else {}
        events.append({"type": "response.output_item.added", "output_index": index, "item": empty})
        events += [{"output_index": index, "item_id": item.get("id"), **one} for one in _pieces(item)]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    status = "incomplete" if response["status"] == "incomplete" else "completed"
    events.append({"type": f"response.{status}", "response": response})
    return b"".join(
        f"event: {one['type']}\ndata: {json.dumps({**one, 'sequence_number': number})}\n\n".encode()
        for number, one in enumerate(events)
    )


def _pieces(item: dict[str, Any]) -> list[dict[str, Any]]:
    if item["type"] == "function_call":
        kind = "response.function_call_arguments.delta"
        return [{"type": kind, "delta": piece} for piece in in_pieces(item["arguments"])]
    told: list[dict[str, Any]] = []
    for number, part in enumerate(item.get("summary") or ()):
        told.append({"type": "response.reasoning_summary_part.added", "summary_index": number})
        told += _grown("response.reasoning_summary_text.delta", part["text"], {"summary_index": number})
    for number, part in enumerate(item.get("content") or ()):
        kind, text = _DELTAS[part["type"]], part.get("text") or part.get("refusal") or ""
        told += _grown(kind, text, {"content_index": number})
    return told


def _grown(kind: str, text: str, place: dict[str, int]) -> list[dict[str, Any]]:
    return [{"type": kind, "delta": piece, **place} for piece in in_pieces(text)]


_DELTAS = {
    "output_text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "reasoning_text": "response.reasoning_text.delta",
}


def test_there_are_answers_streams_and_refusals() -> None:
    assert WHOLE
    assert STREAMS
    assert REFUSED


@named(WHOLE)
def test_a_whole_answer_is_read_and_its_content_shown(exchange: Exchange) -> None:
    answer = answer_of(exchange, "responses")
    output, raw = exchange.response["output"], exchange.response.get("usage")
    assert raw is None or (answer.usage is not None and answer.usage.total_tokens == raw["total_tokens"])
    message = told(answer.body)
    texts = [part["text"] for item in output for part in item.get("content") or () if part["type"] == "output_text"]
    assert message.get("content", "") == "".join(texts)
    calls = [one["function"]["arguments"] for one in message.get("tool_calls", ())]
    assert calls == [item["arguments"] for item in output if item["type"] == "function_call"]
    assert message.get("provider_blocks", []) == [item for item in output if item["type"] not in KNOWN]
    sealed = [
        item["encrypted_content"] for item in output if item["type"] == "reasoning" and item.get("encrypted_content")
    ]
    assert [one["data"] for one in message.get("reasoning_details", ())] == sealed
    assert message["finish_reason"] in {"stop", "length", "tool_calls", "content_filter"}


@named(WHOLE)
def test_what_was_answered_goes_back_as_it_came(exchange: Exchange) -> None:
    message = json.loads(answer_of(exchange, "responses").body)["choices"][0]["message"]
    if message.get("images"):
        return
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "2 m"} for call in message.get("tool_calls", ())]
    members = {"messages": json.dumps([{"role": "user", "content": "Hi"}, message, *results]).encode()}
    body = json.loads(encode_request(members, OPENAI, "gpt-5", 100, False).body)  # type: ignore[arg-type]
    output = exchange.response["output"]
    back = [item for item in body["input"] if item["type"] not in ("message", "reasoning", "function_call_output")]
    kept = [item for item in output if item["type"] not in ("message", "reasoning")]
    assert [item.get("call_id") or item["id"] for item in back if item["type"] == "function_call"] == [
        item["call_id"] for item in kept if item["type"] == "function_call"
    ]
    assert [item for item in back if item["type"] != "function_call"] == [
        item for item in kept if item["type"] != "function_call"
    ]


@named(WHOLE)
def test_a_folded_stream_is_the_whole_however_it_is_cut(exchange: Exchange) -> None:
    if exchange.response.get("usage"):
        folds_to_the_whole(exchange, streamed(exchange.response), "responses")


@named(STREAMS)
def test_a_recorded_stream_is_the_same_however_it_is_cut(exchange: Exchange) -> None:
    decoder = is_the_same_however_cut(exchange, "responses")
    usage = decoder.usage()
    assert decoder.is_done
    assert decoder.raw_usage is not None
    assert usage is not None
    assert usage.total_tokens == decoder.raw_usage["total_tokens"]


@named(STREAMS)
def test_a_stream_that_breaks_off_never_looks_complete(exchange: Exchange) -> None:
    never_looks_complete(exchange, b"event: response.completed", "responses")


@named(STREAMS)
def test_a_relayed_stream_is_handed_on_as_it_came_however_it_is_cut(exchange: Exchange) -> None:
    assert exchange.stream is not None
    stream, draw = exchange.stream.encode(), random.Random(exchange.name)
    for count in (0, 3, 40):
        decoder = RELAYED["responses"].wire.decode_stream(exchange.provider, True, CREATED, "asked")
        places = [0, *sorted(draw.randrange(len(stream)) for _ in range(count)), len(stream)]
        seen = b"".join(decoder.feed(stream[start:end]) for start, end in pairwise(places)) + decoder.finish()
        assert decoder.failure is None
        assert seen.split() == stream.replace(b"data: [DONE]", b"").split()
        assert decoder.usage() is not None


@named(WHOLE)
def test_a_relayed_answer_is_handed_on_as_it_came(exchange: Exchange) -> None:
    body = json.dumps(exchange.response).encode()
    answer = RELAYED["responses"].wire.decode_response(body, exchange.provider, CREATED, "asked")
    assert answer.body is body
    assert (answer.usage, answer.finish_reason) == (
        answer_of(exchange, "responses").usage,
        answer_of(exchange, "responses").finish_reason,
    )


@named(REFUSED)
def test_a_refusal_keeps_its_words(exchange: Exchange) -> None:
    failed = decode_error(exchange.status, json.dumps(exchange.response).encode(), exchange.provider, 1500)
    error = exchange.response["error"]
    assert (failed.client_status, failed.message, failed.code, failed.param, failed.retry_after_ms) == (
        exchange.status,
        error["message"],
        error["code"],
        error["param"],
        1500,
    )


@pytest.mark.parametrize(
    ("code", "failure", "seen", "falls_back"),
    [
        ("rate_limit_exceeded", "rate_limited", 429, True),
        ("server_error", "unavailable", 502, True),
        ("vector_store_timeout", "timeout", 504, True),
        ("invalid_prompt", "bad_request", 400, False),
        ("image_too_large", "bad_request", 400, False),
        ("a_code_of_tomorrow", "unavailable", 502, True),
    ],
)
def test_each_error_in_a_stream_has_its_class(code: str, failure: str, seen: int, falls_back: bool) -> None:
    error = {"code": code, "message": "words"}
    whole = {
        "id": "r",
        "status": "failed",
        "output": [],
        "error": error,
        "usage": {"input_tokens": 5, "output_tokens": 0},
    }
    for event in (
        {"type": "response.failed", "response": whole},
        {"type": "error", **error, "param": None},
        {"type": "error", "error": error},
    ):
        decoder = RELAYED["responses"].wire.decode_stream(OPENAI, True, CREATED, "asked")
        assert decoder.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()) == b""
        assert decoder.failure is not None
        assert (decoder.failure.failure, decoder.failure.client_status) == (failure, seen)
        assert decoder.failure.row.falls_back is falls_back
    with pytest.raises(ProviderFailed, match="words"):
        decode_response(json.dumps(whole).encode(), OPENAI, CREATED, "asked")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"status":"queued","output":[]}', b'{"status":"completed","output":7}', b"\xff"]
)
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    for decode in (decode_response, RELAYED["responses"].wire.decode_response):
        with pytest.raises(ProviderFailed):
            decode(body, OPENAI, CREATED, "asked")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"code":7}}'])
def test_a_refusal_of_any_shape_is_one(body: bytes) -> None:
    assert decode_error(503, body, OPENAI, None).failure == "unavailable"


def test_a_refused_credential_is_not_shown() -> None:
    body = json.dumps({"error": {"message": "Incorrect API key provided: sk-1234"}}).encode()
    assert "sk-1234" not in decode_error(401, body, OPENAI, None).message


def test_searches_are_counted() -> None:
    search = {"type": "web_search_call", "action": {"type": "search"}}
    page = {"type": "web_search_call", "action": {"type": "open_page"}}
    report = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    whole: dict[str, Any] = {"status": "completed", "output": [search, page, search], "usage": report}
    assert _usage(whole).units == {"web_search_requests": 2}
    assert _usage({**whole, "tool_usage": {"web_search": {"num_requests": 1}}}).units == {"web_search_requests": 1}


def _usage(response: dict[str, Any]) -> Usage:
    usage = decode_response(json.dumps(response).encode(), OPENAI, CREATED, "asked").usage
    assert usage is not None
    return usage


def test_compactions_pass_and_are_counted() -> None:
    report = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    by_hand = {"id": "resp_1", "object": "response.compaction", "created_at": 7, "output": [], "usage": report}
    for compacted in (by_hand, *(one.response for one in native_exchanges("/responses/compact"))):
        body = json.dumps(compacted).encode()
        answer = COMPACTION.decode(body, {}, OPENAI, 0, "gpt-5")
        assert answer.body is body
        assert answer.usage is not None
        assert answer.usage.total_tokens == compacted["usage"]["total_tokens"]
    for broken in (b"{}", b"[]", b"{", b'{"error":{"code":"server_error","message":"oh"}}'):
        with pytest.raises(ProviderFailed):
            COMPACTION.decode(broken, {}, OPENAI, 0, "gpt-5")


@pytest.mark.parametrize(
    ("provider", "model", "wire"),
    [
        ("openai", "o3-pro", "responses"),
        ("openai", "gpt-5-pro-2025-10-06", "responses"),
        ("openai", "gpt-5.2-codex", "responses"),
        ("azure", "codex-mini", "responses"),
        ("openai", "gpt-4", "openai"),
        ("openai", "gpt-5-mini", "openai"),
        ("groq", "o3-pro", "openai"),
        ("anthropic", "claude-sonnet-4-5", "anthropic"),
    ],
)
def test_models_that_know_nothing_else_are_called_by_it(provider: str, model: str, wire: str) -> None:
    assert wire_for(PROVIDERS[provider], model) == wire


@given(st.fixed_dictionaries({}, optional={
    **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), COUNT),
    "input_tokens_details": st.dictionaries(st.sampled_from(
        ["cached_tokens", "cache_write_tokens", "audio_tokens"]), COUNT) | COUNT,
    "output_tokens_details": st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), COUNT) | COUNT,
}))  # fmt: skip
def test_no_report_makes_a_negative_bucket(raw: dict[str, Any]) -> None:
    has_no_negative_bucket(decode_usage(raw))
