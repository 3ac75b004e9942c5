"""Whole answers of the `anthropic` wire."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import completion, message_of
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer
from gateway.providers.wires.anthropic.blocks import closing, finish_of, refusal_in, spoken
from gateway.providers.wires.anthropic.failures import failure_of
from gateway.providers.wires.anthropic.usage import decode_usage, tier_in


def decode_response(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no message, or an error in one's place."""
    try:
        return _read(msgspec.json.decode(body), provider, created, model)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no message") from error


def _message(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """The chat message that content blocks amount to."""
    deltas: list[dict[str, Any]] = []
    text, calls = 0, 0
    for block in blocks:
        deltas += [spoken(block, calls), closing(block, text)]
        text += len(block.get("text") or "") if block.get("type") == "text" else 0
        calls += block.get("type") == "tool_use"
    return message_of(deltas)


def _read(told: dict[str, Any], provider: ProviderRow, created: int, model: str) -> Answer:
    if isinstance(told.get("error"), dict):
        raise failure_of(told["error"], provider)
    reason = told["stop_reason"]
    if not isinstance(reason, str):
        raise ProviderFailed("broken", f"{provider.display_name} sent an incomplete answer")
    message = _message(told["content"])
    message["refusal"] = refusal_in(told.get("stop_details"))
    raw = told.get("usage") if isinstance(told.get("usage"), dict) else None
    return completion(
        (told.get("id") or "", created, told.get("model") or model),
        message,
        finish_of(reason),
        decode_usage(raw) if raw is not None else None,
        raw,
        tier_in(raw),
    )
