"""Refusals of the `bedrock` wire: one row for each exception, whether it comes as an answer or as a frame in a stream."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import FailureClass, ProviderFailed, class_of_status

_STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "validationException": 400,
        "accessDeniedException": 403,
        "resourceNotFoundException": 404,
        "modelTimeoutException": 408,
        "modelErrorException": 424,
        "modelStreamErrorException": 424,
        "throttlingException": 429,
        "internalServerException": 500,
        "serviceUnavailableException": 503,
    }
)
"""The status that each exception has as an answer; in a stream its name is all there is."""

_CLASSES: Mapping[int, FailureClass] = MappingProxyType({424: "unavailable"})
"""A model that failed is no fault of the request, although its status says so."""

_UNKNOWN_MODEL = ("model identifier is invalid", "on-demand throughput isn")
_TOO_LONG = ("too many input tokens", "input is too long", "prompt is too long", "maximum context length")
_BAD_TOKEN = ("security token included in the request", "signature we calculated")


def decode_error(status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None) -> ProviderFailed:
    """A refusal: `{"message"}`, or `{"Message"}` from what stands before Bedrock."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    told = found if isinstance(found, dict) else {}
    words = told.get("message") or told.get("Message")
    words = words[:2000] if isinstance(words, str) and words else f"{provider.display_name} answered {status}"
    lower = words.lower()
    failure = _CLASSES.get(status) or class_of_status(status)
    code = None
    if status == 400 and any(sign in lower for sign in _UNKNOWN_MODEL):
        failure, code = "not_found", "model_not_found"
    elif any(sign in lower for sign in _TOO_LONG):
        code = "context_length_exceeded"
    if failure == "auth" or any(sign in lower for sign in _BAD_TOKEN):
        failure, words = "auth", f"{provider.display_name} refused our credential"
    kind = "invalid_request_error" if failure in ("bad_request", "not_found") else None
    return ProviderFailed(failure, words, status=status, error_type=kind, code=code, retry_after_ms=retry_after_ms)


def exception_in_stream(name: str, payload: bytes, provider: ProviderRow) -> ProviderFailed:
    """An exception that came as a frame."""
    return decode_error(_STATUSES.get(name, 502), payload, provider, None)
