"""What a provider wants back with the next turn and Responses has no word for, as a reasoning item carries it. Pure.

Thinking with its signatures, what a provider's own tools did, signatures of single calls: all of it goes to the client in
`encrypted_content`, which clients hand back unread. It is not secret: a provider checks its own signatures.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.providers.wires.responses.items import KEEPSAKE

LISTS = ("reasoning_details", "provider_blocks")
"""Members of a chat message that are kept whole."""


class Keepsakes:
    """Those of one assistant turn; `calls` are the further members of its tool calls, by the call's id."""

    __slots__ = ("calls", "lists")

    def __init__(self) -> None:
        self.lists: dict[str, list[Any]] = {}
        self.calls: dict[str, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self.lists or self.calls)

    def take(self, delta: Mapping[str, Any]) -> bool:
        """Add what a message, or a piece of one, brings; whether it brought any."""
        brought = [name for name in LISTS if delta.get(name)]
        for name in brought:
            self.lists.setdefault(name, []).extend(delta[name])
        return bool(brought)

    def take_call(self, call_id: str, call: Mapping[str, Any]) -> None:
        """Add the members of a call that Responses has no word for."""
        if call.get("extra_content"):
            self.calls[call_id] = {"extra_content": call["extra_content"]}

    def sealed(self) -> str:
        """As `encrypted_content`."""
        told = msgspec.json.encode({"lists": self.lists, "calls": self.calls})
        return KEEPSAKE + base64.urlsafe_b64encode(told).decode().rstrip("=")

    def open(self, content: Any) -> None:
        """Add what an item's `encrypted_content` holds; another's is passed over. Raises ValueError for a broken one."""
        if not isinstance(content, str) or not content.startswith(KEEPSAKE):
            return
        packed = content[len(KEEPSAKE) :]
        told = msgspec.json.decode(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), type=_Told)
        self.take(told.lists)
        self.calls.update(told.calls)


class _Told(msgspec.Struct):
    lists: dict[str, list[Any]]
    calls: dict[str, dict[str, Any]]
