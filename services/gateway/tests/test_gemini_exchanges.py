"""What Google really sends, through the wire: all of it is read, counted and shown, whole and in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.providers.registry import PROVIDERS
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
from gateway.providers.wires.gemini import decode_error, decode_response, decode_usage
from hypothesis import given
from hypothesis import strategies as st
from native import CREATED, decoded, folded, told
from native_exchanges import native_exchanges
from recordings import Exchange

ALL = [
    one for one in native_exchanges("enerateContent", "countTokens", "EmbedContents") if one.provider.wire == "gemini"
]
ANSWERED = [one for one in ALL if one.status == 200 and "candidates" in str(one.stream or one.response)]
WHOLE = [one for one in ANSWERED if one.stream is None]
STREAMS = [one for one in ANSWERED if one.stream is not None]
REFUSED = [one for one in ALL if one.status != 200]
GOOGLE = PROVIDERS["google"]
DETAILS = st.lists(st.fixed_dictionaries({"modality": st.sampled_from(["AUDIO", "TEXT"]), "tokenCount": COUNT})) | COUNT


def streamed(answer: dict[str, Any]) -> bytes:
    """A whole answer as the provider would have streamed it: a chunk a part, texts a few characters at a time."""
    candidate = answer["candidates"][0]
    chunks: list[dict[str, Any]] = []
    for part in (candidate.get("content") or {}).get("parts") or ():
        chunks += [{"content": {"parts": [piece], "role": "model"}} for piece in _cut(part)]
    rest = {name: value for name, value in candidate.items() if name not in ("content", "logprobsResult")}
    outer = {name: value for name, value in answer.items() if name != "candidates"}
    events = [{**outer, "candidates": [chunk]} for chunk in [*chunks, rest]]
    return b"".join(f"data: {json.dumps(one)}\r\n\r\n".encode() for one in events)


def _cut(part: dict[str, Any]) -> list[dict[str, Any]]:
    if "text" not in part or len(part["text"]) < 8:
        return [part]
    text, thought = part["text"], {"thought": True} if part.get("thought") else {}
    pieces = [{"text": piece, **thought} for piece in in_pieces(text)]
    signature = {"thoughtSignature": part["thoughtSignature"]} if "thoughtSignature" in part else {}
    return [*pieces[:-1], {**pieces[-1], **signature}]


def test_there_are_answers_streams_and_refusals() -> None:
    assert WHOLE
    assert STREAMS
    assert REFUSED


@named(WHOLE)
def test_a_whole_answer_is_read_and_its_content_shown(exchange: Exchange) -> None:
    answer = answer_of(exchange)
    raw = exchange.response["usageMetadata"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == raw["totalTokenCount"]
    message = told(answer.body)
    parts = (exchange.response["candidates"][0].get("content") or {}).get("parts") or []
    texts = [part["text"] for part in parts if "text" in part and not part.get("thought")]
    assert message.get("content", "") == "".join(texts)
    called = [part["functionCall"] for part in parts if "functionCall" in part]
    calls = message.get("tool_calls", [])
    assert [(one["function"]["name"], json.loads(one["function"]["arguments"])) for one in calls] == [
        (one["name"], one.get("args") or {}) for one in called
    ]
    assert len({one["id"] for one in calls}) == len(calls)
    assert message["finish_reason"] in {"stop", "length", "tool_calls", "content_filter"}
    signed = [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    assert all(signature in answer.body.decode() for signature in signed)


@named(WHOLE)
def test_a_folded_stream_is_the_whole_however_it_is_cut(exchange: Exchange) -> None:
    folds_to_the_whole(exchange, streamed(exchange.response))


@named(STREAMS)
def test_a_recorded_stream_is_the_same_however_it_is_cut(exchange: Exchange) -> None:
    decoder = is_the_same_however_cut(exchange)
    usage = decoder.usage()
    assert decoder.raw_usage is not None
    assert usage is not None
    assert usage.total_tokens == decoder.raw_usage["totalTokenCount"]


@named(STREAMS)
def test_a_stream_that_breaks_off_never_looks_complete(exchange: Exchange) -> None:
    never_looks_complete(exchange, b'"finishReason"')


@named(REFUSED)
def test_a_refusal_keeps_its_words(exchange: Exchange) -> None:
    failed = decode_error(exchange.status, json.dumps(exchange.response).encode(), exchange.provider, None)
    error = exchange.response["error"]
    if failed.failure != "auth" and failed.row.client_status is None:
        assert (failed.client_status, failed.message) == (exchange.status, error["message"])


def explained(reason: str) -> list[dict[str, Any]]:
    """Why, in Google's form."""
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]


@pytest.mark.parametrize(
    ("status", "kind", "details", "failure", "seen", "falls_back"),
    [
        (400, "INVALID_ARGUMENT", [], "bad_request", 400, False),
        (400, "INVALID_ARGUMENT", explained("API_KEY_INVALID"), "auth", 502, True),
        (400, "FAILED_PRECONDITION", [], "unavailable", 502, True),
        (401, "UNAUTHENTICATED", explained("ACCESS_TOKEN_EXPIRED"), "auth", 502, True),
        (403, "PERMISSION_DENIED", [], "auth", 502, True),
        (404, "NOT_FOUND", [], "not_found", 404, True),
        (429, "RESOURCE_EXHAUSTED", [], "rate_limited", 429, True),
        (500, "INTERNAL", [], "unavailable", 502, True),
        (503, "UNAVAILABLE", [], "unavailable", 502, True),
        (504, "DEADLINE_EXCEEDED", [], "timeout", 504, True),
    ],
)
def test_each_error_has_its_class(
    status: int, kind: str, details: Any, failure: str, seen: int, falls_back: bool
) -> None:
    error = {"error": {"code": status, "message": "words", "status": kind, "details": details}}
    for body in (error, [error]):
        failed = decode_error(status, json.dumps(body).encode(), GOOGLE, None)
        assert (failed.failure, failed.client_status, failed.row.falls_back) == (failure, seen, falls_back)


def test_the_delay_that_google_asks_for_stands_in_the_body() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"}]
    error = {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": details}}
    assert decode_error(429, json.dumps(error).encode(), GOOGLE, None).retry_after_ms == 12_500


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"details":[7],"status":[]}}'])
def test_a_refusal_of_any_shape_is_one(body: bytes) -> None:
    assert decode_error(503, body, GOOGLE, None).failure == "unavailable"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"candidates":[{}]}', b'{"candidates":7}', b'{"error":{"code":503}}']
)
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(ProviderFailed):
        decode_response(body, GOOGLE, CREATED, "asked")


def test_a_blocked_prompt_is_an_answer_that_refuses() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
    }
    whole = decode_response(json.dumps(blocked).encode(), GOOGLE, CREATED, "asked")
    seen, decoder = decoded(GOOGLE, f"data: {json.dumps(blocked)}\n\n".encode())
    assert decoder.failure is None
    assert folded(seen) == told(whole.body)
    assert folded(seen) == {
        "refusal": "The prompt was blocked: PROHIBITED_CONTENT.",
        "finish_reason": "content_filter",
    }


def test_an_error_in_a_stream_is_a_failure() -> None:
    seen, decoder = decoded(GOOGLE, b'data: {"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}\r\n\r\n')
    assert seen == b""
    assert decoder.failure is not None
    assert decoder.failure.failure == "unavailable"


def test_pages_are_cited_by_characters() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://tides.example", "title": "Tides"}}],
        "groundingSupports": [{"segment": {"startIndex": 4, "endIndex": 9}, "groundingChunkIndices": [0, 7]}],
    }
    candidate = {
        "content": {"parts": [{"text": "Müs sind da"}]},
        "finishReason": "STOP",
        "groundingMetadata": grounding,
    }
    whole = decode_response(json.dumps({"candidates": [candidate]}).encode(), GOOGLE, CREATED, "asked")
    [cited] = told(whole.body)["annotations"]
    assert cited["url_citation"] == {
        "start_index": 3,
        "end_index": 8,
        "url": "https://tides.example",
        "title": "Tides",
    }


@given(st.fixed_dictionaries({}, optional={
    **dict.fromkeys(("promptTokenCount", "candidatesTokenCount", "totalTokenCount", "thoughtsTokenCount",
                     "toolUsePromptTokenCount", "cachedContentTokenCount"), COUNT),
    **dict.fromkeys(("promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails"), DETAILS),
}))  # fmt: skip
def test_no_report_makes_a_negative_bucket(raw: dict[str, Any]) -> None:
    has_no_negative_bucket(decode_usage(raw))
