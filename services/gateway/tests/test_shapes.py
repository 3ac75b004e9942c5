"""Every refusal in both spellings, row by row, with the headers that tell an SDK whether to call again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.budgets import Budget
from gateway.limits.answers import limit_headers, refusal_of, refused_headers
from gateway.limits.limiter import Admitted, Refused
from gateway.limits.packing import Packed
from gateway.limits.terms import Counters
from gateway.providers.errors import FAILURES, FailureClass, ProviderFailed
from gateway.shapes import (
    REFUSALS,
    ErrorAnswer,
    Refusal,
    detail_answer,
    duration,
    error_event,
    failure_answer,
    refusal_answer,
    usage_event,
)
from hypothesis import given
from hypothesis import strategies as st

NO = {b"x-should-retry": b"false"}
LATER = {b"retry-after": b"1", b"retry-after-ms": b"1000"}

# reason, detail → status, message, headers · OpenAI's status, type, code
ROWS: list[tuple[str, str, int, str, dict[bytes, bytes], int, str, str]] = [
    ("missing_api_key", "", 401, "missing or invalid Authorization header", NO, 401, "invalid_request_error",
     "missing_api_key"),
    ("invalid_api_key", "", 401, "invalid API key", NO, 401, "invalid_request_error", "invalid_api_key"),
    ("model_not_found", "gpt-9", 400, "unknown model: gpt-9", NO, 404, "invalid_request_error", "model_not_found"),
    ("model_not_allowed", "gpt-4", 403, "model not allowed: gpt-4", NO, 403, "invalid_request_error", "model_not_allowed"),
    ("rate_limit_exceeded", "", 429, "rate limit exceeded", LATER, 429, "requests", "rate_limit_exceeded"),
    ("quota_exceeded", "", 429, "monthly quota of the tier exceeded", NO, 429, "insufficient_quota",
     "insufficient_quota"),
    ("budget_exceeded", "monthly", 402, "monthly budget exceeded", NO, 429, "insufficient_quota", "insufficient_quota"),
    ("credential_not_found", "", 400, "no such credential of yours", NO, 400, "invalid_request_error",
     "credential_not_found"),
    ("credential_inactive", "", 400, "this credential is not active", NO, 400, "invalid_request_error",
     "credential_inactive"),
    ("credential_unusable", "groq", 400, "this credential is for groq", NO, 400, "invalid_request_error",
     "credential_unusable"),
    ("response_not_found", "resp_1", 404, "no such response: resp_1", NO, 404, "invalid_request_error",
     "response_not_found"),
    ("invalid_request", "n: no", 400, "n: no", NO, 400, "invalid_request_error", "invalid_request"),
    ("request_too_large", "9", 413, "the body is larger than 9 bytes", NO, 413, "invalid_request_error",
     "request_too_large"),
    ("unknown_url", "GET /x", 404, "no such URL: GET /x", NO, 404, "invalid_request_error", "unknown_url"),
    ("method_not_allowed", "PUT /x", 405, "method not allowed: PUT /x", NO, 405, "invalid_request_error", "unknown_url"),
    ("provider_not_configured", "Groq", 503, "Groq API key not configured. Please add it in the provider settings.", NO,
     503, "server_error", "provider_not_configured"),
    ("idempotency_key_reused", "", 422, "this Idempotency-Key was used for another request", NO, 422,
     "invalid_request_error", "idempotency_key_reused"),
    ("idempotency_in_flight", "", 409, "the request with this Idempotency-Key is still running", LATER, 409,
     "invalid_request_error", "idempotency_in_flight"),
    ("idempotency_answer_gone", "", 409, "the request with this Idempotency-Key has run; its answer is no longer held",
     NO, 409, "invalid_request_error", "idempotency_answer_gone"),
    ("service_unavailable", "no Redis", 503, "no Redis", LATER, 503, "server_error", "service_unavailable"),
    ("overloaded", "", 503, "the gateway is overloaded", LATER, 503, "server_error", "overloaded"),
    ("internal_error", "", 500, "internal error", {}, 500, "server_error", "internal_error"),
]  # fmt: skip


def error_in(answer: ErrorAnswer) -> dict[str, Any]:
    """The one member of an error's body."""
    body = json.loads(answer.body)
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["type"]
    return error


def test_every_refusal_has_a_row_here() -> None:
    assert {row[0] for row in ROWS} == set(REFUSALS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_refusal_carries_its_status_as_code_and_its_reason(row: tuple[Any, ...]) -> None:
    reason, detail, status, message, headers = row[:5]
    answer = refusal_answer(Refusal(reason, detail, param="p"))
    assert answer.status == status
    assert dict(answer.headers) == headers
    assert error_in(answer) == {
        "message": message,
        "type": "invalid_request_error",
        "param": "p",
        "code": status,
        "reason": row[7] if reason == "method_not_allowed" else reason,
    }


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_refusal_can_be_spelled_as_openai_would(row: tuple[Any, ...]) -> None:
    reason, detail, _, message, headers, status, kind, code = row
    answer = refusal_answer(Refusal(reason, detail), as_openai=True)
    assert answer.status == status
    assert dict(answer.headers) == headers
    assert error_in(answer) == {"message": message, "type": kind, "param": None, "code": code}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_management_apis_say_it_as_a_detail(row: tuple[Any, ...]) -> None:
    answer = detail_answer(Refusal(row[0], row[1]))
    assert (answer.status, json.loads(answer.body)) == (row[2], {"detail": row[3]})


def test_braces_in_what_a_client_sent_are_text() -> None:
    assert error_in(refusal_answer(Refusal("model_not_found", "{0} {x}")))["message"] == "unknown model: {0} {x}"


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(1, b"1"), (999, b"1"), (1000, b"1"), (1001, b"2"), (59_999, b"60")]
)
def test_a_wait_is_told_in_seconds_and_milliseconds(milliseconds: int, seconds: bytes) -> None:
    answer = refusal_answer(Refusal("rate_limit_exceeded", retry_after_ms=milliseconds))
    assert dict(answer.headers) == {b"retry-after": seconds, b"retry-after-ms": b"%d" % milliseconds}


def test_a_budget_that_only_holds_fill_is_worth_another_try() -> None:
    waiting = dict(refusal_answer(refusal_of(Refused("budget", is_waiting=True))).headers)
    assert waiting == {b"retry-after": b"1", b"retry-after-ms": b"1000", b"x-should-retry": b"true"}
    spent = dict(refusal_answer(refusal_of(Refused("budget"))).headers)
    assert spent == NO


@pytest.mark.parametrize(
    ("refused", "reason", "wait"),
    [
        (Refused("revoked"), "invalid_api_key", None),
        (Refused("rate", retry_ms=2500), "rate_limit_exceeded", b"2500"),
        (Refused("tokens", retry_ms=2500), "rate_limit_exceeded", b"2500"),
        (Refused("concurrency"), "rate_limit_exceeded", b"1000"),
        (Refused("closed"), "service_unavailable", b"1000"),
    ],
)
def test_each_decision_of_the_limits_becomes_a_refusal(refused: Refused, reason: str, wait: bytes | None) -> None:
    refusal = refusal_of(refused)
    assert refusal.reason == reason
    assert dict(refusal_answer(refusal).headers).get(b"retry-after-ms") == wait


def test_limits_are_told_where_there_are_any() -> None:
    counters = Counters("2026-11", 0, 1, (), (), (), "", Packed(0, b""))
    admitted = Admitted("e1", 10, 0, 100, 41, 5000, 0, (), counters)
    assert dict(limit_headers(admitted)) == {
        b"x-ratelimit-limit-requests": b"100",
        b"x-ratelimit-remaining-requests": b"41",
        b"x-ratelimit-reset-requests": b"1m0s",
        b"x-ratelimit-limit-tokens": b"5000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"1m0s",
    }
    assert limit_headers(Admitted("e1", 10, 0, 0, -1, 0, -1, (), counters)) == []
    rate = dict(refused_headers(Refused("rate", retry_ms=1500, limit=100)))
    assert (rate[b"x-ratelimit-limit-requests"], rate[b"x-ratelimit-reset-requests"]) == (b"100", b"2s")
    assert dict(refused_headers(Refused("tokens", retry_ms=150)))[b"x-ratelimit-reset-tokens"] == b"150ms"
    assert refused_headers(Refused("budget")) == []


def test_a_budget_is_named_by_its_period() -> None:
    daily = Budget("b-1", "global", "daily", "UTC", "hard", 1)
    refused = refusal_answer(refusal_of(Refused("budget", budget=daily)))
    assert json.loads(refused.body)["error"]["message"] == "daily budget exceeded"


def test_a_used_up_quota_is_not_asked_again() -> None:
    answer = refusal_answer(refusal_of(Refused("quota")))
    assert answer.status == 429
    assert dict(answer.headers) == {b"x-should-retry": b"false"}
    assert json.loads(answer.body)["error"]["reason"] == "quota_exceeded"


@given(st.integers(0, 10**7))
def test_a_span_is_never_told_shorter_than_it_is(milliseconds: int) -> None:
    text = duration(milliseconds).decode()
    if text.endswith("ms"):
        assert int(text[:-2]) == milliseconds
        return
    minutes, _, seconds = text[:-1].rpartition("m")
    told = int(minutes or 0) * 60_000 + int(seconds) * 1000
    assert milliseconds <= told < milliseconds + 1000


def test_spans_are_spelled_as_openai_spells_them() -> None:
    assert [duration(span) for span in (0, 120, 1000, 360_000, -5)] == [b"0ms", b"120ms", b"1s", b"6m0s", b"0ms"]


def failed(failure: FailureClass, **changes: Any) -> ProviderFailed:
    return ProviderFailed(failure, "the words", **changes)


OWN = {"error_type": "their_type", "param": "their_param", "code": "their_code"}


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_a_provider_s_own_refusal_keeps_status_and_words(status: int) -> None:
    failure: FailureClass = "not_found" if status == 404 else "bad_request"
    answer = failure_answer(failed(failure, status=status, **OWN), "OpenAI")
    assert answer.status == status
    assert dict(answer.headers) == NO
    assert error_in(answer) == {
        "message": "the words",
        "type": "their_type",
        "param": "their_param",
        "code": "their_code",
        "reason": "provider_rejected",
    }


def test_a_provider_that_names_nothing_still_gets_all_four_members() -> None:
    error = error_in(failure_answer(failed("bad_request", status=400), "OpenAI"))
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)


@pytest.mark.parametrize(
    ("wait", "headers"), [(None, LATER), (2500, {b"retry-after": b"3", b"retry-after-ms": b"2500"})]
)
def test_a_provider_s_rate_limit_is_handed_on_with_its_wait(wait: int | None, headers: dict[bytes, bytes]) -> None:
    answer = failure_answer(failed("rate_limited", status=429, retry_after_ms=wait, **OWN), "OpenAI")
    assert answer.status == 429
    assert dict(answer.headers) == headers
    assert error_in(answer)["code"] == "their_code"


@pytest.mark.parametrize(
    ("failure", "status", "reason", "message", "headers"),
    [
        ("auth", 502, "provider_auth_failed", "OpenAI refused our credential", NO),
        ("unavailable", 502, "provider_error", "the words", {}),
        ("unreachable", 502, "provider_error", "the words", {}),
        ("broken", 502, "provider_error", "the words", {}),
        ("timeout", 504, "provider_timeout", "the words", {}),
    ],
)
def test_what_is_not_the_client_s_fault_names_the_provider(
    failure: FailureClass, status: int, reason: str, message: str, headers: dict[bytes, bytes]
) -> None:
    answer = failure_answer(failed(failure, status=418, **OWN), "OpenAI")
    assert answer.status == status
    assert dict(answer.headers) == headers
    assert error_in(answer) == {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": status,
        "reason": reason,
    }
    typed = error_in(failure_answer(failed(failure), "OpenAI", as_openai=True))
    assert (typed["type"], typed["code"]) == ("server_error", reason)


def test_a_provider_that_is_away_for_a_while_may_say_for_how_long() -> None:
    answer = failure_answer(failed("unavailable", status=503, retry_after_ms=3000), "OpenAI")
    assert dict(answer.headers) == {b"retry-after": b"3", b"retry-after-ms": b"3000"}


def test_every_class_of_failure_has_an_answer() -> None:
    for failure in FAILURES:
        answer = failure_answer(failed(failure), "OpenAI")
        assert 400 <= answer.status < 600
        assert answer.status != 401


def test_an_error_in_a_stream_is_one_event() -> None:
    event = error_event(refusal_answer(Refusal("overloaded")))
    assert event.startswith(b'data: {"error":{')
    assert event.endswith(b"}}\n\n")
    assert event.count(b"\n") == 2


def test_the_usage_chunk_has_every_member_that_clients_demand() -> None:
    event = usage_event(("c-1", 7, "gpt-4"), {"total_tokens": 3}, "0.5")
    assert json.loads(event[6:]) == {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "gpt-4",
        "choices": [],
        "usage": {"total_tokens": 3},
        "x_tollgate": {"cost_usd": "0.5"},
    }
    bare = json.loads(usage_event((None, None, None), {}, "0")[6:])
    assert (bare["id"], bare["created"], bare["model"]) == ("", 0, "")
