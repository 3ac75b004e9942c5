"""Counting what providers report, or do not report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

# No call uses more. What a provider claims beyond it is nonsense, which must not reach counters of 64 bits.
MOST_TOKENS = 10**12

MOST_PICTURE_TOKENS = 16_384
"""More than any known model makes of one picture."""

# Providers that stream token by token send short pieces; then pieces count tokens better than bytes do.
_TOKEN_PIECE_BYTES = 12
_LIKELY_BYTES_PER_TOKEN = 4

# Where the answers of the wires have what their models said.
_WORDS = frozenset({"content", "text", "thinking", "reasoning", "reasoning_content", "refusal", "arguments", "name"})


def count_of(value: Any) -> int | None:
    """A reported count, clamped to what can be true; None for what is no number."""
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return min(max(0, int(value)), MOST_TOKENS)


def counted(raw: Mapping[str, Any], name: str) -> int:
    """A count of a report, clamped to what can be true; 0 where there is none."""
    return count_of(raw.get(name)) or 0


def word_of(value: Any) -> str | None:
    """A reported word, as of a tier; None for what is none, which no event may hold."""
    return value if isinstance(value, str) else None


def details_in(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A report within a report; empty where there is none."""
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def estimate_tokens(content_bytes: int, pieces: int) -> int:
    """Output tokens of what was delivered, where the provider reported none."""
    if pieces and content_bytes <= pieces * _TOKEN_PIECE_BYTES:
        return pieces
    return -(-content_bytes // _LIKELY_BYTES_PER_TOKEN)


def said_in(body: bytes) -> int:
    """UTF-8 bytes of what an answer says, without the JSON around it; all of it where it is no JSON."""
    try:
        return _said(msgspec.json.decode(body), is_said=False) if body else 0
    except (msgspec.DecodeError, RecursionError):
        return len(body)


def _said(told: Any, *, is_said: bool) -> int:
    if isinstance(told, str):
        return len(told.encode("utf-8", "surrogatepass")) if is_said else 0
    if isinstance(told, list):
        return sum(_said(one, is_said=is_said) for one in told)
    if isinstance(told, dict):
        return sum(_said(one, is_said=name in _WORDS) for name, one in told.items())
    return 0
