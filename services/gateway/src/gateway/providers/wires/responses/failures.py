"""Refusals of the `responses` wire: by status, and in an answer or a stream by code alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import ProviderFailed, class_of_status

_STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "rate_limit_exceeded": 429,
        "insufficient_quota": 429,
        "server_error": 500,
        "vector_store_timeout": 504,
        "invalid_prompt": 400,
        "bio_policy": 400,
        "misalignment_policy_violation": 400,
        "data_residency_mismatch": 400,
        "context_length_exceeded": 400,
        "model_not_found": 404,
    }
)
"""The status that each code has where there is no other; whatever is wrong with an image is the request's fault."""


def decode_error(status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None) -> ProviderFailed:
    """A refusal, whatever its shape."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    error = found.get("error", found) if isinstance(found, dict) else found
    error = {"message": error} if isinstance(error, str) else error
    return failure_of(error if isinstance(error, dict) else {}, provider, status, retry_after_ms)


def failure_of(
    error: Mapping[str, Any], provider: ProviderRow, status: int | None = None, retry_after_ms: int | None = None
) -> ProviderFailed:
    """The failure that an error object tells of; without a status that of its code."""
    code = _text(error.get("code"))
    if status is None:
        status = _STATUSES.get(code or "") or (400 if "image" in (code or "") else 502)
    words = _text(error.get("message")) or f"{provider.display_name} answered {status}"
    failure = class_of_status(status)
    if failure == "auth":  # what a provider says of our credential may show some of it
        words = f"{provider.display_name} refused our credential"
    return ProviderFailed(
        failure,
        words,
        status=status,
        error_type=_text(error.get("type")),
        param=_text(error.get("param")),
        code=code,
        retry_after_ms=retry_after_ms,
    )


def _text(value: Any) -> str | None:
    return value[:2000] if isinstance(value, str) and value else None
