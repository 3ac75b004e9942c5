"""Refusals of the `gemini` wire: Google's canonical statuses, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import FailureClass, ProviderFailed, class_of_status

_CLASSES: Mapping[str, FailureClass] = MappingProxyType(
    {
        "INVALID_ARGUMENT": "bad_request",
        "OUT_OF_RANGE": "bad_request",
        "FAILED_PRECONDITION": "unavailable",  # no billing, or not from here: ours to mend, and others may answer
        "UNAUTHENTICATED": "auth",
        "PERMISSION_DENIED": "auth",
        "NOT_FOUND": "not_found",
        "RESOURCE_EXHAUSTED": "rate_limited",
        "CANCELLED": "unavailable",
        "INTERNAL": "unavailable",
        "UNAVAILABLE": "unavailable",
        "UNKNOWN": "unavailable",
        "DEADLINE_EXCEEDED": "timeout",
    }
)
_REFUSED_KEYS = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_EXPIRED", "CONSUMER_INVALID"})
_REFUSED_KEY = "api key not valid"
_TOO_LONG = "exceeds the maximum number of tokens"


def decode_error(status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None) -> ProviderFailed:
    """A refusal as Google, or something in front of it, says it; where a stream was asked for it comes in a list."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list) and found:
        found = found[0]
    error = found.get("error") if isinstance(found, dict) else None
    return failure_of(error if isinstance(error, dict) else {}, provider, status, retry_after_ms)


def failure_of(
    error: Mapping[str, Any], provider: ProviderRow, status: int | None = None, retry_after_ms: int | None = None
) -> ProviderFailed:
    """The failure that an error object tells of; without a status that which it names."""
    code, kind, words = error.get("code"), error.get("status"), error.get("message")
    status = status or (code if isinstance(code, int) and 400 <= code < 600 else 502)
    words = words[:2000] if isinstance(words, str) and words else f"{provider.display_name} answered {status}"
    failure = _CLASSES.get(kind if isinstance(kind, str) else "") or class_of_status(status)
    details = error.get("details")
    details = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    # A key that is not valid comes as 400, as if the client's request were at fault.
    if _REFUSED_KEY in words.lower() or any(one.get("reason") in _REFUSED_KEYS for one in details):
        failure = "auth"
    if failure == "auth":
        words = f"{provider.display_name} refused our credential"
    return ProviderFailed(
        failure,
        words,
        status=status,
        error_type=kind if isinstance(kind, str) else None,
        code="context_length_exceeded" if _TOO_LONG in words else None,
        retry_after_ms=_delay_in(details) or retry_after_ms,
    )


def _delay_in(details: list[dict[str, Any]]) -> int | None:
    """The delay that a RetryInfo asks for (`12.5s`), in milliseconds."""
    for one in details:
        delay = one.get("retryDelay")
        try:
            seconds = float(delay.removesuffix("s")) if isinstance(delay, str) else 0.0
        except ValueError:
            continue
        if 0 < seconds < 86_400:
            return int(seconds * 1000)
    return None
