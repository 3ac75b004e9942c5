"""Refusals of the `anthropic` wire: one row for each type of error, and what our clients know it as."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import FailureClass, ProviderFailed, class_of_status

_STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "invalid_request_error": 400,
        "authentication_error": 401,
        "billing_error": 402,
        "permission_error": 403,
        "not_found_error": 404,
        "request_too_large": 413,
        "rate_limit_error": 429,
        "api_error": 500,
        "gateway_timeout_error": 504,
        "timeout_error": 504,
        "overloaded_error": 529,
    }
)
"""The status that each type of error has; in a stream the type is all there is."""

_CLASSES: Mapping[str, FailureClass] = MappingProxyType(
    {
        "authentication_error": "auth",
        "billing_error": "auth",
        "permission_error": "auth",
        "not_found_error": "not_found",
        "rate_limit_error": "rate_limited",
        "overloaded_error": "unavailable",
        "api_error": "unavailable",
        "gateway_timeout_error": "timeout",
        "timeout_error": "timeout",
    }
)

_OUT_OF_CREDIT = "credit balance is too low"
_TOO_LONG = "prompt is too long"


def decode_error(status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None) -> ProviderFailed:
    """A refusal as Anthropic, or something in front of it, says it."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    error = found.get("error") if isinstance(found, dict) else None
    return failure_of(error if isinstance(error, dict) else {}, provider, status, retry_after_ms)


def failure_of(
    error: Mapping[str, Any], provider: ProviderRow, status: int | None = None, retry_after_ms: int | None = None
) -> ProviderFailed:
    """The failure that an error object tells of; without a status that of its type."""
    kind = error["type"] if isinstance(error.get("type"), str) else ""
    status = status or _STATUSES.get(kind, 502)
    words = error.get("message")
    words = words[:2000] if isinstance(words, str) and words else f"{provider.display_name} answered {status}"
    # The account's own trouble is told as if the client's request were at fault.
    failure = "auth" if _OUT_OF_CREDIT in words else _CLASSES.get(kind) or class_of_status(status)
    if failure == "auth":  # what a provider says of our credential may show some of it
        words = f"{provider.display_name} refused our credential"
    return ProviderFailed(
        failure,
        words,
        status=status,
        error_type=kind or None,
        code="context_length_exceeded" if _TOO_LONG in words else None,
        retry_after_ms=retry_after_ms,
    )
