"""Recorded exchanges with real providers, answered again byte for byte to whoever asks the same.

A file of JSON lines: `provider, path, request, status, content_type` and `response` (an object) or `stream` or `raw`
(text). The same is asked when provider, the end of the path and the body agree; where no body agrees whole, those members
are left out of the comparison that a gateway sets for its clients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

_SET_ON_THE_WAY = frozenset({"max_tokens", "max_completion_tokens", "stream_options", "drop_params"})
_MODEL = re.compile(r".*?(?P<end>/models?/.+)")


class Recorded(msgspec.Struct, frozen=True):
    """One answer as it was."""

    status: int
    content_type: bytes
    body: bytes


class Recordings:
    """What is answered again; nothing without a file."""

    def __init__(self, path: Path | None) -> None:
        self._exact: dict[tuple[str, str, bytes], Recorded] = {}
        self._likely: dict[tuple[str, str, bytes], Recorded] = {}
        for line in path.read_bytes().splitlines() if path is not None else ():
            self._take(msgspec.json.decode(line))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to answer."""
        return not self._exact

    def find(self, provider: str, path: str, body: bytes) -> Recorded | None:
        """What was answered to this, if it was ever asked."""
        if self.is_empty:
            return None
        try:
            asked = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(asked, dict):
            return None
        place = (provider, _end_of(path))
        return self._exact.get((*place, _told(asked))) or self._likely.get((*place, _told(_without(asked))))

    def _take(self, one: Mapping[str, Any]) -> None:
        request = one.get("request")
        if not isinstance(request, dict):
            return
        text = one.get("stream") or one.get("raw")
        body = text.encode() if isinstance(text, str) else msgspec.json.encode(one.get("response"))
        kind = one.get("content_type") or "application/json"
        recorded = Recorded(one["status"], kind.encode(), body)
        place = (one["provider"], _end_of(one["path"].partition("?")[0]))
        self._exact.setdefault((*place, _told(request)), recorded)
        self._likely.setdefault((*place, _told(_without(request))), recorded)


def _end_of(path: str) -> str:
    """What is asked for, whatever stands before it: base URLs differ between a provider and who stands in for it."""
    path = unquote(path).rstrip("/")
    found = _MODEL.fullmatch(path)
    return found["end"] if found else path.rpartition("/")[2]


def _without(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name not in _SET_ON_THE_WAY and value is not None}


def _told(asked: Any) -> bytes:
    return msgspec.json.encode(asked, order="deterministic")
