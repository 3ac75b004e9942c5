"""Refusals of the `openai` wire's speakers, whatever shape they give them."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import REFUSES_KEYS_WITH_400, ProviderRow

from gateway.providers.errors import ProviderFailed, class_of_status

NULL = msgspec.Raw(b"null")  # msgspec takes no union with Raw, so absence is a null
NO_ERRORS = (b"null", b"{}", b"false", b'""')
"""What stands under `error` where there is none."""


def decode_error(status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None) -> ProviderFailed:
    """A provider's refusal, whatever its shape: `{"error": {…}}`, `{"error": "…"}`, `{"message"}`, `{"detail"}`, HTML."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    error = found.get("error", found) if isinstance(found, dict) else found
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        error = {}
    if status == 502:  # an error in place of a 200 answer names its own status
        status = next((named for name in ("code", "status_code") if (named := _status(error.get(name)))), status)
    failure = class_of_status(status)
    words = _text(error.get("message")) or _text(error.get("detail")) or f"{provider.display_name} answered {status}"
    if status == 400 and REFUSES_KEYS_WITH_400 in provider.flags and "api key" in words.lower():
        failure = "auth"
    if failure == "auth":  # what a provider says of our credential may show some of it
        words = f"{provider.display_name} refused our credential"
    return ProviderFailed(
        failure,
        words,
        status=status,
        error_type=_text(error.get("type")),
        param=_text(error.get("param")),
        code=_text(error.get("code")),
        retry_after_ms=retry_after_ms,
    )


def _status(value: Any) -> int | None:
    return value if isinstance(value, int) and 400 <= value < 600 else None


def _text(value: Any) -> str | None:
    return value[:2000] if isinstance(value, str) and value else None
