"""Refusals of the `cohere` wire: `{"id", "message"}`, with nothing around them and rarely a machine's word in them."""

from __future__ import annotations

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import FailureClass, ProviderFailed, class_of_status


def decode_error(status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None) -> ProviderFailed:
    """A refusal as Cohere, or something in front of it, says it."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    told = found if isinstance(found, dict) else {}
    words = told.get("message")
    words = words[:2000] if isinstance(words, str) and words else f"{provider.display_name} answered {status}"
    failure: FailureClass = class_of_status(status)
    if failure == "auth":  # what a provider says of our credential may show some of it
        words = f"{provider.display_name} refused our credential"
    kind = told.get("error_type")
    is_too_long = kind == "TOO_MANY_TOKENS" or "too many tokens" in words
    return ProviderFailed(
        failure,
        words,
        status=status,
        error_type="invalid_request_error" if 400 <= status < 500 and failure != "auth" else None,
        code="context_length_exceeded" if is_too_long else None,
        retry_after_ms=retry_after_ms,
    )
