"""Counting what providers report, or do not report. Pure."""

from __future__ import annotations

from typing import Any

# No call uses more. What a provider claims beyond it is nonsense, which must not reach counters of 64 bits.
MOST_TOKENS = 10**12

# Providers that stream token by token send short pieces; then pieces count tokens better than bytes do.
_TOKEN_PIECE_BYTES = 12
_LIKELY_BYTES_PER_TOKEN = 4


def count_of(value: Any) -> int | None:
    """A reported count, clamped to what can be true; None for what is no number."""
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return min(max(0, int(value)), MOST_TOKENS)


def estimate_tokens(content_bytes: int, pieces: int) -> int:
    """Output tokens of what was delivered, where the provider reported none."""
    if pieces and content_bytes <= pieces * _TOKEN_PIECE_BYTES:
        return pieces
    return -(-content_bytes // _LIKELY_BYTES_PER_TOKEN)
