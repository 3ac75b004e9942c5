"""Content blocks of an answer as what a chat message holds: the same mapping for whole answers and for streams.

`spoken` is the part of a block that a stream brings piece by piece, `closing` what can only be said once the block is
whole. Folding both over all blocks gives the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.providers.chat import compact, tool_call

FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }
)
FORMAT = "anthropic-claude-v1"
"""What marks reasoning details as this wire's."""


def finish_of(reason: str) -> str:
    """Why an answer ended, as clients know it; an unknown reason is an ordinary stop."""
    return FINISH_REASONS.get(reason, "stop")


def spoken(block: Mapping[str, Any], tool_index: int) -> dict[str, Any]:
    """Text, thinking or a tool call."""
    kind = block.get("type")
    if kind == "text":
        return {"content": block.get("text") or ""}
    if kind == "thinking":
        return {"reasoning_content": block.get("thinking") or ""}
    if kind == "tool_use":
        return {
            "tool_calls": [tool_call(tool_index, block["id"], block["name"], compact(block.get("input") or {}))],
        }
    return {}


def closing(block: Mapping[str, Any], text_before: int) -> dict[str, Any]:
    """Signatures, citations, and what Anthropic's own tools did; `text_before`: the length of the text before it."""
    kind = block.get("type")
    if kind == "thinking":
        detail = {"type": "reasoning.text", "text": block.get("thinking") or "", "signature": block.get("signature")}
        return {"reasoning_details": [{**detail, "format": FORMAT}]} if block.get("signature") else {}
    if kind == "redacted_thinking":
        return {
            "reasoning_details": [{"type": "reasoning.encrypted", "data": block.get("data") or "", "format": FORMAT}]
        }
    if kind == "text":
        return _cited(block, text_before)
    return {} if kind == "tool_use" else {"provider_blocks": [dict(block)]}


def refusal_in(stop_details: Any) -> str | None:
    """Why the model refused, where it says so."""
    told = stop_details.get("explanation") if isinstance(stop_details, dict) else None
    return told if isinstance(told, str) and told else None


def _cited(block: Mapping[str, Any], text_before: int) -> dict[str, Any]:
    citations = block.get("citations")
    if not citations:
        return {}
    place = {"start_index": text_before, "end_index": text_before + len(block.get("text") or "")}
    annotations = [
        {"type": "url_citation", "url_citation": {**place, "url": one["url"], "title": one.get("title") or ""}}
        for one in citations
        if isinstance(one.get("url"), str)
    ]
    told: dict[str, Any] = {"provider_blocks": [dict(block)]}
    return {"annotations": annotations, **told} if annotations else told
