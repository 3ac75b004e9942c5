"""Usage reports of the `openai` wire, whatever its speakers make of them, as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from common.usage import Usage

from gateway.providers.counting import count_of, details_in


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets whose sum is the provider's total; None for what is no report.

    Tokens that only the total shows (reasoning of some providers, audio of others) are found by the difference. What
    contradicts itself is clamped: no bucket is ever negative.
    """
    prompt, completion = count_of(raw.get("prompt_tokens")), count_of(raw.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    inside, outside = details_in(raw, "prompt_tokens_details"), details_in(raw, "completion_tokens_details")
    audio_in, reasoning = count_of(inside.get("audio_tokens")) or 0, count_of(outside.get("reasoning_tokens")) or 0
    unexplained = max(0, (count_of(raw.get("total_tokens")) or 0) - prompt - completion)
    if unexplained and unexplained == audio_in:
        prompt += unexplained
    elif unexplained:
        completion += unexplained
        reasoning = max(reasoning, unexplained)
    told = _cached(raw, inside), count_of(inside.get("cache_write_tokens")) or 0
    is_odd = sum(told) > prompt or reasoning > completion or _is_short(raw, prompt + completion)
    cached = min(told[0], prompt)
    written = min(told[1], prompt - cached)
    audio_in = min(audio_in, prompt - cached - written)
    reasoning = min(reasoning, completion)
    audio_out = min(count_of(outside.get("audio_tokens")) or 0, completion - reasoning)
    return Usage(
        input_tokens=prompt - cached - written - audio_in,
        cached_input_tokens=cached,
        cache_write_5m_tokens=written,
        output_tokens=completion - reasoning - audio_out,
        reasoning_tokens=reasoning,
        audio_input_tokens=audio_in,
        audio_output_tokens=audio_out,
        anomalous=is_odd,
    )


def report_in(raw: msgspec.Raw) -> dict[str, Any] | None:
    """The report itself, as JSON. Raises ValueError or RecursionError."""
    if bytes(raw) == b"null":
        return None
    found = msgspec.json.decode(raw)
    return found if isinstance(found, dict) else None


def _is_short(raw: Mapping[str, Any], counted: int) -> bool:
    """Whether the total is less than its parts."""
    total = count_of(raw.get("total_tokens"))
    return total is not None and total < counted


def _cached(raw: Mapping[str, Any], inside: Mapping[str, Any]) -> int:
    for value in (inside.get("cached_tokens"), raw.get("prompt_cache_hit_tokens"), raw.get("cached_tokens")):
        if count := count_of(value):
            return count
    return 0
