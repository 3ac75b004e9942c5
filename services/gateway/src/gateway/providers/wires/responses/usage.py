"""Usage reports of the `responses` wire as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from common.usage import Usage

from gateway.providers.counting import count_of, counted, details_in


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets whose sum is the provider's total; None for what is no report.

    Cached and written tokens are part of the input, reasoning is part of the output. What only the total shows is
    output; what contradicts itself is clamped.
    """
    given, produced = count_of(raw.get("input_tokens")), count_of(raw.get("output_tokens"))
    if given is None and produced is None:
        return None
    given, produced = given or 0, produced or 0
    inside, outside = details_in(raw, "input_tokens_details"), details_in(raw, "output_tokens_details")
    produced += max(0, counted(raw, "total_tokens") - given - produced)
    read, kept = counted(inside, "cached_tokens"), counted(inside, "cache_write_tokens")
    thought, total = counted(outside, "reasoning_tokens"), count_of(raw.get("total_tokens"))
    cached = min(read, given)
    written = min(kept, given - cached)
    heard = min(counted(inside, "audio_tokens"), given - cached - written)
    reasoning = min(thought, produced)
    spoken = min(counted(outside, "audio_tokens"), produced - reasoning)
    return Usage(
        input_tokens=given - cached - written - heard,
        cached_input_tokens=cached,
        cache_write_5m_tokens=written,
        output_tokens=produced - reasoning - spoken,
        reasoning_tokens=reasoning,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
        anomalous=read + kept > given or thought > produced or (total is not None and total < given + produced),
    )


def usage_of(response: Mapping[str, Any]) -> tuple[Usage | None, dict[str, Any] | None]:
    """What a response used, with the searches that it made; and the report itself."""
    raw = response.get("usage")
    usage = decode_usage(raw) if isinstance(raw, dict) else None
    if usage is None or not isinstance(raw, dict):
        return None, None
    searches = _searches(response)
    return (msgspec.structs.replace(usage, units={"web_search_requests": searches}) if searches else usage), raw


def _searches(response: Mapping[str, Any]) -> int:
    reported = details_in(details_in(response, "tool_usage"), "web_search").get("num_requests")
    if (count := count_of(reported)) is not None:
        return count
    items = [item for item in response.get("output") or () if item.get("type") == "web_search_call"]
    return sum(details_in(item, "action").get("type", "search") == "search" for item in items)
