"""What the gateway's own answers look like: every refusal, in one table, and OpenAI's shapes around it. Pure.

By default a refusal carries its HTTP status as an integer `code`; with `GATEWAY_ERROR_CODES=openai` it is spelled as
OpenAI itself would, for clients that are typed strictly. Both stand in the same row. What time will cure carries
`Retry-After`; what it will not carries `x-should-retry: false`, so that no SDK calls three times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from gateway.providers.errors import ProviderFailed

Retry = Literal["no", "later", "own"]
"""Whether calling again may help: never, after a while, or as the client itself decides."""

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """A way in which the gateway refuses; `openai_*` is OpenAI's own spelling of it."""

    status: int
    message: str
    retry: Retry = "no"
    openai_status: int | None = None
    openai_type: str = "invalid_request_error"
    openai_code: str | None = None


REFUSALS: Mapping[str, RefusalRow] = MappingProxyType(
    {
        "missing_api_key": RefusalRow(401, "missing or invalid Authorization header"),
        "invalid_api_key": RefusalRow(401, "invalid API key"),
        "model_not_found": RefusalRow(400, "unknown model: {}", openai_status=404),
        "model_not_allowed": RefusalRow(403, "model not allowed: {}"),
        "rate_limit_exceeded": RefusalRow(429, "rate limit exceeded", "later", openai_type="requests"),
        "budget_exceeded": RefusalRow(
            402,
            "{} budget exceeded",
            openai_status=429,
            openai_type="insufficient_quota",
            openai_code="insufficient_quota",
        ),
        "quota_exceeded": RefusalRow(
            429,
            "monthly quota of the tier exceeded",
            openai_type="insufficient_quota",
            openai_code="insufficient_quota",
        ),
        "credential_not_found": RefusalRow(400, "no such credential of yours"),
        "credential_inactive": RefusalRow(400, "this credential is not active"),
        "credential_unusable": RefusalRow(400, "this credential is for {}"),
        "response_not_found": RefusalRow(404, "no such response: {}"),
        "invalid_request": RefusalRow(400, "{}"),
        "request_too_large": RefusalRow(413, "the body is larger than {} bytes"),
        "unknown_url": RefusalRow(404, "no such URL: {}"),
        "method_not_allowed": RefusalRow(405, "method not allowed: {}", openai_code="unknown_url"),
        "provider_not_configured": RefusalRow(
            503, "{} API key not configured. Please add it in the provider settings.", openai_type="server_error"
        ),
        "idempotency_key_reused": RefusalRow(422, "this Idempotency-Key was used for another request"),
        "idempotency_in_flight": RefusalRow(409, "the request with this Idempotency-Key is still running", "later"),
        "idempotency_answer_gone": RefusalRow(
            409, "the request with this Idempotency-Key has run; its answer is no longer held"
        ),
        "service_unavailable": RefusalRow(503, "{}", "later", openai_type="server_error"),
        "overloaded": RefusalRow(503, "the gateway is overloaded", "later", openai_type="server_error"),
        "internal_error": RefusalRow(500, "internal error", "own", openai_type="server_error"),
    }
)


class Refusal(Exception):
    """A call is refused for one of the reasons of the table."""

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        param: str | None = None,
        model: str | None = None,
        retry_after_ms: int | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = REFUSALS[reason]
        self.detail = detail
        self.param = param
        self.model = model
        self.retry_after_ms = retry_after_ms
        self.should_retry = should_retry


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it goes to the client."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


def refusal_answer(refusal: Refusal, *, as_openai: bool = False) -> ErrorAnswer:
    """A refusal of our own."""
    row = refusal.row
    reason = "unknown_url" if refusal.reason == "method_not_allowed" else refusal.reason
    message = row.message.format(refusal.detail)
    error: dict[str, Any] = {"message": message, "type": "invalid_request_error", "param": refusal.param}
    status = row.status
    if as_openai:
        status = row.openai_status or row.status
        error |= {"type": row.openai_type, "code": row.openai_code or reason}
    else:
        error |= {"code": status, "reason": reason}
    return ErrorAnswer(status, _retry_headers(row.retry, refusal), msgspec.json.encode({"error": error}))


def detail_answer(refusal: Refusal) -> ErrorAnswer:
    """A refusal as the management APIs say it."""
    row = refusal.row
    body = msgspec.json.encode({"detail": row.message.format(refusal.detail)})
    return ErrorAnswer(row.status, _retry_headers(row.retry, refusal), body)


def failure_answer(failed: ProviderFailed, provider: str, *, as_openai: bool = False) -> ErrorAnswer:
    """A provider's failure: its own 4xx keeps status and words; everything else names the provider and the cause."""
    row = failed.row
    retry_ms = failed.retry_after_ms
    if row.client_status is None or failed.failure == "rate_limited":
        error: dict[str, Any] = {
            "message": failed.message,
            "type": failed.error_type or "invalid_request_error",
            "param": failed.param,
            "code": failed.code,
            "reason": row.reason,
        }
        headers = _after(retry_ms or 1000) if failed.failure == "rate_limited" else ((b"x-should-retry", b"false"),)
        return ErrorAnswer(failed.client_status, headers, msgspec.json.encode({"error": error}))
    words = f"{provider} refused our credential" if failed.failure == "auth" else failed.message
    error = {
        "message": words,
        "type": "server_error" if as_openai else "invalid_request_error",
        "param": None,
        "code": row.reason if as_openai else failed.client_status,
        "reason": row.reason,
    }
    headers = ((b"x-should-retry", b"false"),) if failed.failure == "auth" else _after(retry_ms) if retry_ms else ()
    return ErrorAnswer(failed.client_status, headers, msgspec.json.encode({"error": error}))


def error_event(answer: ErrorAnswer) -> bytes:
    """An error in a stream that has begun: one event, after which the stream ends without `[DONE]`."""
    return b"data: " + answer.body + b"\n\n"


def usage_event(first: tuple[str | None, int | None, str | None], usage: Mapping[str, Any], cost_usd: str) -> bytes:
    """The last chunk of a stream whose client asked for usage; `first` is (id, created, model) of the stream."""
    chunk = {
        "id": first[0] or "",
        "object": "chat.completion.chunk",
        "created": first[1] or 0,
        "model": first[2] or "",
        "choices": [],
        "usage": usage,
        "x_tollgate": {"cost_usd": cost_usd},
    }
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def duration(milliseconds: int) -> bytes:
    """A span as OpenAI's rate limit headers write it: `120ms`, `1s`, `6m0s`."""
    if milliseconds < 1000:
        return b"%dms" % max(0, milliseconds)
    minutes, seconds = divmod(-(-milliseconds // 1000), 60)
    return b"%dm%ds" % (minutes, seconds) if minutes else b"%ds" % seconds


def _retry_headers(retry: Retry, refusal: Refusal) -> tuple[Header, ...]:
    if refusal.should_retry is True:
        return (*_after(refusal.retry_after_ms or 1000), (b"x-should-retry", b"true"))
    if retry == "later":
        return _after(refusal.retry_after_ms or 1000)
    return ((b"x-should-retry", b"false"),) if retry == "no" else ()


def _after(milliseconds: int) -> tuple[Header, ...]:
    return (b"retry-after", b"%d" % max(1, -(-milliseconds // 1000))), (b"retry-after-ms", b"%d" % milliseconds)
