"""What Cohere says, as deltas of a chat message: the same mapping for whole answers and for streams. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gateway.providers.chat import tool_call

FINISH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "COMPLETE": "stop",
        "STOP_SEQUENCE": "stop",
        "USER_CANCEL": "stop",
        "MAX_TOKENS": "length",
        "ERROR_LIMIT": "length",
        "TOOL_CALL": "tool_calls",
        "ERROR_TOXIC": "content_filter",
    }
)
BROKEN_FINISHES = frozenset({"ERROR", "TIMEOUT"})
"""Finish reasons by which Cohere says that it failed."""


def finish_of(reason: str) -> str:
    """Why an answer ended, as clients know it; an unknown reason is an ordinary stop."""
    return FINISH_REASONS.get(reason, "stop")


def spoken(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the content, or a piece of one: text or thinking; {} for neither."""
    if part.get("text"):
        return {"content": part["text"]}
    return {"reasoning_content": part["thinking"]} if part.get("thinking") else {}


def called(call: Mapping[str, Any], index: int) -> dict[str, Any]:
    """A tool call, or its beginning."""
    function = call.get("function") or {}
    arguments = function.get("arguments") or ""
    return {"tool_calls": [tool_call(index, call.get("id") or "", function.get("name") or "", arguments)]}


def cited(citation: Any) -> dict[str, Any]:
    """A citation, as Cohere gives it."""
    return {"citations": [citation]}


def deltas_of(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything that a whole message says, in the order of a stream."""
    if message.get("tool_plan"):
        yield {"content": message["tool_plan"]}
    content = message.get("content") or ()
    for part in [{"text": content}] if isinstance(content, str) else content:
        yield spoken(part)
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield called(_with_arguments(call), index)
    for citation in message.get("citations") or ():
        yield cited(citation)


def _with_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """A whole call; one without arguments has none to parse, which clients do all the same."""
    function = dict(call.get("function") or {})
    return {**call, "function": {**function, "arguments": function.get("arguments") or "{}"}}
