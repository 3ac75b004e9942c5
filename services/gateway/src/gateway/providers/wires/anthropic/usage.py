"""Usage reports of the `anthropic` wire as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.usage import Usage

from gateway.providers.counting import count_of, counted, details_in, word_of


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets; None for what is no report.

    `input_tokens` leaves out what was read from or written to the cache, so all three add up; thinking is part of the
    output. A report that splits cache writes by lifetime is believed as far as it stays within their total.
    """
    fresh, produced = count_of(raw.get("input_tokens")), count_of(raw.get("output_tokens"))
    if fresh is None and produced is None:
        return None
    produced = produced or 0
    written = _written(raw)
    told = count_of(details_in(raw, "output_tokens_details").get("thinking_tokens")) or 0
    thought = min(told, produced)
    return Usage(
        input_tokens=fresh or 0,
        cached_input_tokens=counted(raw, "cache_read_input_tokens"),
        cache_write_5m_tokens=written[0],
        cache_write_1h_tokens=written[1],
        output_tokens=produced - thought,
        reasoning_tokens=thought,
        units={
            name: count
            for name, value in details_in(raw, "server_tool_use").items()
            if name.endswith("_requests") and (count := count_of(value))
        },
        anomalous=told > produced or _is_overwritten(raw),
    )


def merged(earlier: Mapping[str, Any] | None, later: Mapping[str, Any]) -> dict[str, Any]:
    """A stream's report: what its end says counts instead of what its beginning said."""
    return {**(earlier or {}), **{name: value for name, value in later.items() if value is not None}}


def _written(raw: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens written to the cache for five minutes, and for an hour."""
    split = details_in(raw, "cache_creation")
    hour = counted(split, "ephemeral_1h_input_tokens")
    minutes = counted(split, "ephemeral_5m_input_tokens")
    total = count_of(raw.get("cache_creation_input_tokens"))
    if total is None:
        return minutes, hour
    hour = min(hour, total)
    return total - hour, hour


def _is_overwritten(raw: Mapping[str, Any]) -> bool:
    """Whether more was written for its two lifetimes than in all."""
    split, total = details_in(raw, "cache_creation"), count_of(raw.get("cache_creation_input_tokens"))
    return total is not None and sum(count_of(value) or 0 for value in split.values()) > total


def tier_in(raw: Mapping[str, Any] | None) -> str | None:
    """The service tier that a report names."""
    return word_of((raw or {}).get("service_tier"))
