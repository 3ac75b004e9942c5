"""Whole answers of the `cohere` wire."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import completion, message_of
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer
from gateway.providers.wires.cohere.parts import BROKEN_FINISHES, deltas_of, finish_of
from gateway.providers.wires.cohere.usage import decode_usage


def decode_response(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no answer, or says that it failed."""
    try:
        return _read(msgspec.json.decode(body), provider, created, model)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that cannot be read") from error


def _read(told: dict[str, Any], provider: ProviderRow, created: int, model: str) -> Answer:
    reason = told["finish_reason"]
    if reason in BROKEN_FINISHES:
        raise ProviderFailed("broken", f"{provider.display_name} broke off the answer")
    raw = told.get("usage")
    raw = raw if isinstance(raw, dict) else None
    usage = decode_usage(raw) if raw is not None else None
    identity = (f"chatcmpl-{told.get('id') or ''}", created, model)
    return completion(identity, message_of(list(deltas_of(told["message"]))), finish_of(reason), usage, raw)
