"""Usage reports of the `openai` wire, whatever its speakers make of them, as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from common.usage import Usage

# Providers that stream token by token send short pieces; then pieces count tokens better than bytes do.
_TOKEN_PIECE_BYTES = 12
_LIKELY_BYTES_PER_TOKEN = 4

# No call uses more. What a provider claims beyond it is nonsense, which must not reach counters of 64 bits.
_MOST_TOKENS = 10**12


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets whose sum is the provider's total; None for what is no report.

    Tokens that only the total shows (reasoning of some providers, audio of others) are found by the difference. What
    contradicts itself is clamped: no bucket is ever negative.
    """
    prompt, completion = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    inside, outside = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    audio_in, reasoning = _count(inside.get("audio_tokens")) or 0, _count(outside.get("reasoning_tokens")) or 0
    unexplained = max(0, (_count(raw.get("total_tokens")) or 0) - prompt - completion)
    if unexplained and unexplained == audio_in:
        prompt += unexplained
    elif unexplained:
        completion += unexplained
        reasoning = max(reasoning, unexplained)
    cached = min(_cached(raw, inside), prompt)
    written = min(_count(inside.get("cache_write_tokens")) or 0, prompt - cached)
    audio_in = min(audio_in, prompt - cached - written)
    reasoning = min(reasoning, completion)
    audio_out = min(_count(outside.get("audio_tokens")) or 0, completion - reasoning)
    return Usage(
        input_tokens=prompt - cached - written - audio_in,
        cached_input_tokens=cached,
        cache_write_5m_tokens=written,
        output_tokens=completion - reasoning - audio_out,
        reasoning_tokens=reasoning,
        audio_input_tokens=audio_in,
        audio_output_tokens=audio_out,
    )


def estimate_tokens(content_bytes: int, pieces: int) -> int:
    """Output tokens of what was delivered, where the provider reported none."""
    if pieces and content_bytes <= pieces * _TOKEN_PIECE_BYTES:
        return pieces
    return -(-content_bytes // _LIKELY_BYTES_PER_TOKEN)


def report_in(raw: msgspec.Raw) -> dict[str, Any] | None:
    """The report itself, as JSON. Raises ValueError or RecursionError."""
    if bytes(raw) == b"null":
        return None
    found = msgspec.json.decode(raw)
    return found if isinstance(found, dict) else None


def _cached(raw: Mapping[str, Any], inside: Mapping[str, Any]) -> int:
    for value in (inside.get("cached_tokens"), raw.get("prompt_cache_hit_tokens"), raw.get("cached_tokens")):
        if count := _count(value):
            return count
    return 0


def _count(value: Any) -> int | None:
    if type(value) is int and 0 <= value <= _MOST_TOKENS:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return min(max(0, int(value)), _MOST_TOKENS)


def _details(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}
