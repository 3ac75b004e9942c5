"""Whole answers of the `bedrock` wire."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import completion, message_of
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer
from gateway.providers.wires.bedrock.blocks import BROKEN_FINISHES, deltas_of, finish_of
from gateway.providers.wires.bedrock.usage import decode_usage


def decode_response(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no answer, or says that it failed."""
    try:
        return _read(msgspec.json.decode(body), body, provider, created, model)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that cannot be read") from error


def answer_id(seed: bytes, created: int) -> str:
    """An id for an answer that Bedrock gives none: made of what came, and of the second it was asked for in."""
    return f"chatcmpl-{hashlib.blake2b(b'%d ' % created + seed, digest_size=14).hexdigest()}"


def tier_of(told: dict[str, Any]) -> str | None:
    """The service tier that was used, where it is told."""
    tier = told.get("serviceTier")
    found = tier.get("type") if isinstance(tier, dict) else None
    return found if isinstance(found, str) else None


def _read(told: dict[str, Any], body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    reason = told["stopReason"]
    if reason in BROKEN_FINISHES:
        raise ProviderFailed("broken", f"{provider.display_name} broke off the answer")
    raw = told.get("usage")
    raw = raw if isinstance(raw, dict) else None
    usage = decode_usage(raw) if raw is not None else None
    message = message_of(list(deltas_of(told["output"]["message"]["content"], model)))
    identity = (answer_id(body, created), created, model)
    return completion(identity, message, finish_of(reason), usage, raw, tier_of(told))
