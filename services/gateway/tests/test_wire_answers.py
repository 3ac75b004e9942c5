"""The `openai` wire's whole answers: usage in disjoint buckets, errors in every shape, and what is no answer at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.providers.registry import PROVIDERS
from common.usage import TOKEN_BUCKETS, Usage
from gateway.providers.counting import estimate_tokens
from gateway.providers.errors import ProviderFailed
from gateway.providers.wires.openai import decode_error, decode_response, decode_usage
from hypothesis import given
from hypothesis import strategies as st

OPENAI = PROVIDERS["openai"]

COUNTS = st.none() | st.integers(-5, 10**6) | st.just(10**30) | st.floats(0, 10**6)
ODD = COUNTS | st.booleans() | st.text(max_size=3)
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens"]), ODD
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": ODD,
        "completion_tokens": ODD,
        "total_tokens": ODD,
        "prompt_cache_hit_tokens": ODD,
        "cached_tokens": ODD,
        "prompt_tokens_details": DETAILS,
        "completion_tokens_details": DETAILS,
    },
)


def told(prompt: int, completion: int, total: int | None = None, **more: Any) -> dict[str, Any]:
    """A usage report."""
    total = prompt + completion if total is None else total
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


def count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0


@given(REPORTS)
def test_buckets_are_never_negative_and_add_up_to_the_total(raw: dict[str, Any]) -> None:
    usage = decode_usage(raw)
    numbers = [raw.get("prompt_tokens"), raw.get("completion_tokens")]
    if usage is None:
        assert not any(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
        return
    assert all(0 <= getattr(usage, bucket) < 2**62 for bucket in TOKEN_BUCKETS)
    said = sum(map(count, numbers))
    if max(said, count(raw.get("total_tokens"))) <= 10**12:
        assert usage.total_tokens == max(said, count(raw.get("total_tokens")))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.data())
def test_what_openai_reports_comes_back_as_it_was(prompt: int, completion: int, data: st.DataObject) -> None:
    cached = data.draw(st.integers(0, prompt))
    audio = data.draw(st.integers(0, prompt - cached))
    reasoning = data.draw(st.integers(0, completion))
    raw = told(
        prompt,
        completion,
        prompt_tokens_details={"cached_tokens": cached, "audio_tokens": audio},
        completion_tokens_details={"reasoning_tokens": reasoning, "audio_tokens": 0},
    )
    usage = decode_usage(raw)
    assert usage is not None
    assert usage.as_openai() == raw


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(told(9, 12), Usage(input_tokens=9, output_tokens=12), id="plain"),
        pytest.param(
            told(2006, 300, prompt_tokens_details={"cached_tokens": 1920, "cache_write_tokens": 50}),
            Usage(input_tokens=36, cached_input_tokens=1920, cache_write_5m_tokens=50, output_tokens=300),
            id="cached and written are part of the prompt",
        ),
        pytest.param(
            told(10, 100, completion_tokens_details={"reasoning_tokens": 64}),
            Usage(input_tokens=10, output_tokens=36, reasoning_tokens=64),
            id="reasoning is part of the completion",
        ),
        pytest.param(
            told(204, 1, 287, completion_tokens_details={"reasoning_tokens": 82}),
            Usage(input_tokens=204, output_tokens=1, reasoning_tokens=82),
            id="xai: reasoning beside the completion",
        ),
        pytest.param(
            told(35, 12, 109),
            Usage(input_tokens=35, output_tokens=12, reasoning_tokens=62),
            id="gemini compat: thinking in the total only",
        ),
        pytest.param(
            told(5, 20, 400, prompt_tokens_details={"audio_tokens": 375}),
            Usage(input_tokens=5, audio_input_tokens=375, output_tokens=20),
            id="mistral: audio beside the prompt",
        ),
        pytest.param(
            told(100, 10, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36),
            Usage(input_tokens=36, cached_input_tokens=64, output_tokens=10),
            id="deepseek: hits and misses",
        ),
        pytest.param(
            told(100, 10, cached_tokens=64),
            Usage(input_tokens=36, cached_input_tokens=64, output_tokens=10),
            id="together: cached at the top",
        ),
        pytest.param(
            told(208, 5, prompt_tokens_details={"cached_tokens": 314}),
            Usage(cached_input_tokens=208, output_tokens=5, anomalous=True),
            id="azure's grok: more cached than prompt",
        ),
        pytest.param(
            told(43, 10, completion_tokens_details={"reasoning_tokens": 11}),
            Usage(input_tokens=43, reasoning_tokens=10, anomalous=True),
            id="openrouter: more reasoning than completion",
        ),
        pytest.param(
            told(9, 4, completion_tokens_details={"audio_tokens": 3, "reasoning_tokens": 0}),
            Usage(input_tokens=9, output_tokens=1, audio_output_tokens=3),
            id="spoken output",
        ),
        pytest.param(
            {"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8), id="no completion, as of embeddings"
        ),
        pytest.param(
            told(9, 12, 0), Usage(input_tokens=9, output_tokens=12, anomalous=True), id="a total that lags behind"
        ),
        pytest.param({}, None, id="no report"),
        pytest.param({"prompt_tokens": "9"}, None, id="no numbers"),
    ],
)
def test_each_provider_counts_in_its_own_way(raw: dict[str, Any], expected: Usage | None) -> None:
    assert decode_usage(raw) == expected


def test_where_nobody_counted_pieces_or_bytes_do() -> None:
    assert estimate_tokens(0, 0) == 0
    assert estimate_tokens(50, 10) == 10
    assert estimate_tokens(401, 2) == 101


@pytest.mark.parametrize(
    ("status", "body", "failure", "message", "code"),
    [
        (
            400,
            {"error": {"message": "too long", "type": "x", "param": "messages", "code": "context_length_exceeded"}},
            "bad_request",
            "too long",
            "context_length_exceeded",
        ),
        (404, {"error": {"message": "not there", "code": "model_missing"}}, "not_found", "not there", "model_missing"),
        (401, {"detail": "Invalid API Key"}, "auth", "OpenAI refused our credential", None),
        (403, {"error": {"message": "key sk-secret1234 is bad"}}, "auth", "OpenAI refused our credential", None),
        (422, {"detail": "max_tokens is no number"}, "bad_request", "max_tokens is no number", None),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "bad_request", "OpenAI answered 422", None),
        (429, {"error": {"message": "slow down", "code": 429}}, "rate_limited", "slow down", None),
        (400, {"code": "bad", "error": "the key is wrong"}, "bad_request", "the key is wrong", None),
        (400, {"object": "error", "message": "no", "type": "invalid", "code": "1"}, "bad_request", "no", "1"),
        (500, {"error": {"message": ""}}, "unavailable", "OpenAI answered 500", None),
        (408, {}, "timeout", "OpenAI answered 408", None),
        (503, b"<html><body>Bad gateway</body></html>", "unavailable", "OpenAI answered 503", None),
        (500, b"", "unavailable", "OpenAI answered 500", None),
        (500, b"[" * 100_000, "unavailable", "OpenAI answered 500", None),
        (400, b'{"error":{"message":"\xff"}}', "bad_request", "OpenAI answered 400", None),
        (502, {"error": {"code": 429, "message": "upstream is busy"}}, "rate_limited", "upstream is busy", None),
        (502, {"error": {"code": "tool_use", "status_code": 400, "message": "no"}}, "bad_request", "no", "tool_use"),
        (502, {"error": {"code": 7, "message": "odd"}}, "unavailable", "odd", None),
    ],
)  # fmt: skip
def test_a_refusal_is_read_in_every_shape(
    status: int, body: dict[str, Any] | bytes, failure: str, message: str, code: str | None
) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    failed = decode_error(status, sent, OPENAI, 1500)
    assert (failed.failure, failed.message, failed.code) == (failure, message, code)
    assert failed.retry_after_ms == 1500


def test_a_provider_cannot_make_our_answers_grow_without_end() -> None:
    failed = decode_error(
        400, json.dumps({"error": {"message": "x" * 10**6, "code": "y" * 10**6}}).encode(), OPENAI, None
    )
    assert len(failed.message) == 2000
    assert len(failed.code or "") == 2000


def whole(**changes: Any) -> bytes:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return json.dumps({"id": "1", "model": "gpt-4-0613", "choices": [choice], "usage": usage, **changes}).encode()


def finished(reason: Any) -> list[dict[str, Any]]:
    return [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": reason}]


def test_a_whole_answer_is_relayed_byte_for_byte() -> None:
    body = whole(service_tier="default", extra={"kept": 1.50}).replace(b'"Hi"', rb'"H\u0069 \/"')
    answer = decode_response(body, OPENAI)
    assert answer.body == body
    assert (answer.finish_reason, answer.model, answer.service_tier) == ("stop", "gpt-4-0613", "default")
    assert answer.usage == Usage(input_tokens=3, output_tokens=2)
    assert answer.raw_usage == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    ("given", "shown"),
    [("eos", "stop"), ("model_length", "length"), ("max_tokens", "length"), ("COMPLETE", "stop"), ("", "stop")],
)
def test_finish_reasons_that_clients_do_not_know_do_not_reach_them(given: str, shown: str) -> None:
    answer = decode_response(whole(choices=finished(given), big=10**30), OPENAI)
    assert answer.finish_reason == shown
    read = json.loads(answer.body)
    assert read["choices"][0]["finish_reason"] == shown
    assert read["big"] == 10**30


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"null",
        b"[]",
        whole(choices=[]),
        whole(choices=finished(None)),
        whole(choices=finished("error")),
        whole(choices=finished("insufficient_system_resource")),
        whole(choices=finished(7)),
        whole()[:-20],
        whole().replace(b'"prompt_tokens": 3', b'"prompt_tokens": 1e999'),
        whole().replace(b'"prompt_tokens": 3', b'"prompt_tokens": ' + b"[" * 5000 + b"]" * 5000),
        whole().replace(b"gpt-4-0613", b"\xff"),
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:30]) + str(len(body)),
)
def test_what_is_no_whole_answer_is_a_failure_that_may_have_cost(body: bytes) -> None:
    with pytest.raises(ProviderFailed) as failed:
        decode_response(body, OPENAI)
    assert failed.value.failure == "broken"
    assert failed.value.row.may_have_cost
    assert failed.value.row.falls_back


@pytest.mark.parametrize("nothing", [None, {}, False, ""])
def test_an_empty_error_is_none(nothing: Any) -> None:
    assert decode_response(whole(error=nothing), OPENAI).finish_reason == "stop"


def test_an_error_in_place_of_an_answer_names_its_own_status() -> None:
    body = json.dumps(
        {"error": {"message": "Provider returned error", "code": 429}, "choices": finished("stop")}
    ).encode()
    with pytest.raises(ProviderFailed) as failed:
        decode_response(body, PROVIDERS["openrouter"])
    assert (failed.value.failure, failed.value.client_status) == ("rate_limited", 429)


@pytest.mark.parametrize("usage", [None, "many", [], {"queue_time": 0.1}])
def test_an_answer_without_a_usage_report_says_so(usage: Any) -> None:
    assert decode_response(whole(usage=usage), OPENAI).usage is None
