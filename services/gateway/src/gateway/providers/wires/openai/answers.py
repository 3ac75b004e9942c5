"""Whole answers of the `openai` wire."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer
from gateway.providers.wires.openai.failures import NO_ERRORS, NULL, decode_error
from gateway.providers.wires.openai.parts import join_parts
from gateway.providers.wires.openai.usage import decode_usage, report_in

SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
BROKEN_FINISHES = frozenset({"error", "insufficient_system_resource"})
"""Finish reasons by which a provider says that it failed: such an answer is not whole, and must not look so."""
_FINISH_SPELLINGS = {
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
}


class _Call(msgspec.Struct):
    type: str | None = None


class _Message(msgspec.Struct):
    content: Any = None
    tool_calls: list[_Call] | None = None


class _WholeChoice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_WholeChoice] = []
    usage: msgspec.Raw = NULL
    model: str | None = None
    service_tier: str | None = None
    error: msgspec.Raw = NULL


_decode_whole = msgspec.json.Decoder(_Whole).decode


def decode_response(body: bytes, provider: ProviderRow, _created: int = 0, _model: str = "") -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no chat completion, or an error in one's place."""
    try:
        return _read(body, provider)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no chat completion") from error


def finish_of(reason: str | None) -> str | None:
    """A finish reason as clients know it; an unknown one is an ordinary stop."""
    if reason is None or reason in FINISH_REASONS:
        return reason
    return _FINISH_SPELLINGS.get(reason, "stop")


def _read(body: bytes, provider: ProviderRow) -> Answer:
    whole = _decode_whole(body)
    if bytes(whole.error) not in NO_ERRORS:
        raise decode_error(502, body, provider, None)
    reasons = [choice.finish_reason for choice in whole.choices]
    if not reasons or None in reasons or not BROKEN_FINISHES.isdisjoint(reasons):
        raise ProviderFailed("broken", f"{provider.display_name} sent an incomplete answer")
    if not (
        FINISH_REASONS.issuperset(reasons)
        and (whole.service_tier is None or whole.service_tier in SERVICE_TIERS)
        and all(_can_be_typed(one.message) for one in whole.choices)
    ):
        body = _rewrite(body)
    raw = report_in(whole.usage)
    return Answer(
        body=body,
        usage=decode_usage(raw) if raw is not None else None,
        raw_usage=raw,
        finish_reason=finish_of(reasons[0]),
        model=whole.model,
        service_tier=whole.service_tier,
    )


def tier_of(tier: Any) -> Any:
    """A service tier as clients know it; one that is only its provider's is the usual one."""
    return tier if tier is None or tier in SERVICE_TIERS else "default"


def _can_be_typed(message: _Message) -> bool:
    """Whether strictly typed clients can read a message."""
    calls = message.tool_calls or ()
    return not isinstance(message.content, list) and all(call.type is not None for call in calls)


def _rewrite(body: bytes) -> bytes:
    """An answer that typed clients can read: finish reasons and tiers that they know, calls with their type, content in
    one text."""
    whole = msgspec.json.decode(body)
    if "service_tier" in whole:
        whole["service_tier"] = tier_of(whole["service_tier"])
    for choice in whole["choices"]:
        choice["finish_reason"] = finish_of(choice.get("finish_reason"))
        message = choice["message"]
        join_parts(message)
        for call in message.get("tool_calls") or ():
            call.setdefault("type", "function")
    return msgspec.json.encode(whole)
