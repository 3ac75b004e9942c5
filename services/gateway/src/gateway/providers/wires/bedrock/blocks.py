"""Content blocks of an answer as deltas of a chat message: the same mapping for whole answers and for streams. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gateway.providers.chat import compact, tool_call

FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
    }
)
BROKEN_FINISHES = frozenset({"malformed_model_output", "malformed_tool_use"})
"""Finish reasons by which Bedrock says that the model's answer is none."""
CLAUDE_FORMAT, OTHER_FORMAT = "anthropic-claude-v1", "bedrock-converse-v1"
"""What marks reasoning details; Claude's are the same wherever it runs."""


def finish_of(reason: str) -> str:
    """Why an answer ended, as clients know it; an unknown reason is an ordinary stop."""
    return FINISH_REASONS.get(reason, "stop")


def format_of(model: str) -> str:
    """How the reasoning of a model is marked."""
    return CLAUDE_FORMAT if "claude" in model else OTHER_FORMAT


def deltas_of(blocks: list[dict[str, Any]], model: str) -> Iterator[dict[str, Any]]:
    """Everything that whole blocks say, in the order of a stream."""
    calls = 0
    for block in blocks:
        if "toolUse" in block:
            used = block["toolUse"]
            yield opened(used, calls, compact(used.get("input") or {}))
            calls += 1
        elif "citationsContent" in block:
            cited_block = block["citationsContent"]
            yield {"content": "".join(part.get("text") or "" for part in cited_block.get("content") or ())}
            yield from (cited(citation) for citation in cited_block.get("citations") or ())
        elif "reasoningContent" in block:
            reasoning = block["reasoningContent"]
            thought = reasoning.get("reasoningText") or {}
            yield {"reasoning_content": thought.get("text") or ""}
            yield thought_through(
                thought.get("text") or "", thought.get("signature"), reasoning.get("redactedContent"), model
            )
        elif "text" in block:
            yield {"content": block["text"]}
        else:
            yield {"provider_blocks": [block]}


def opened(used: Mapping[str, Any], index: int, arguments: str) -> dict[str, Any]:
    """A tool call, or its beginning."""
    return {"tool_calls": [tool_call(index, used["toolUseId"], used["name"], arguments)]}


def cited(citation: Mapping[str, Any]) -> dict[str, Any]:
    """A citation, as Bedrock gives it."""
    return {"citations": [citation]}


def thought_through(text: str, signature: Any, redacted: Any, model: str) -> dict[str, Any]:
    """What must come back with the next turn: thinking with its signature, or what of it is hidden."""
    marked = {"format": format_of(model)}
    details: list[dict[str, Any]] = []
    if redacted:
        details.append({"type": "reasoning.encrypted", "data": redacted, **marked})
    if signature:
        details.append({"type": "reasoning.text", "text": text, "signature": signature, **marked})
    return {"reasoning_details": details} if details else {}
