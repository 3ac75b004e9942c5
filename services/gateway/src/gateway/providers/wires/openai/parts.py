"""Content in parts, as some speakers of the `openai` wire answer with; clients know answers as one text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def size_of(content: Any) -> int:
    """Characters of a text, or of the texts of a list of parts."""
    if not content:
        return 0
    return len(content) if isinstance(content, str) else sum(map(len, _texts(content, ("text", "thinking"))))


def join_parts(message: dict[str, Any]) -> None:
    """Of a message or delta whose content is a list of parts make one with a text; thinking goes where most show it."""
    content = message.get("content")
    if isinstance(content, list):
        message["content"] = "".join(_texts(content, ("text",)))
        if thought := "".join(_texts(content, ("thinking",))):
            message["reasoning_content"] = thought


def _texts(content: Any, members: tuple[str, ...]) -> Iterator[str]:
    for part in content if isinstance(content, list) else ():
        for member in members:
            inner = part.get(member) if isinstance(part, dict) else None
            if isinstance(inner, str):
                yield inner
            else:
                yield from _texts(inner, ("text",))
