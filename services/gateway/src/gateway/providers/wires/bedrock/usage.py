"""Usage reports of the `bedrock` wire as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.usage import Usage

from gateway.providers.counting import count_of, counted


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets; None for what is no report.

    `inputTokens` leaves out what was read from or written to the cache. Tokens that only the total shows were put out.
    """
    fresh, produced = count_of(raw.get("inputTokens")), count_of(raw.get("outputTokens"))
    if fresh is None and produced is None:
        return None
    cached, written = counted(raw, "cacheReadInputTokens"), counted(raw, "cacheWriteInputTokens")
    explained = (fresh or 0) + (produced or 0) + cached + written
    total, kept = count_of(raw.get("totalTokens")), _for_an_hour(raw)
    unexplained = max(0, (total or 0) - explained)
    hour = min(kept, written)
    served = raw.get("serverToolUsage")
    return Usage(
        input_tokens=fresh or 0,
        cached_input_tokens=cached,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=(produced or 0) + unexplained,
        units={name: count for name, value in served.items() if (count := count_of(value))}
        if isinstance(served, dict)
        else {},
        anomalous=kept > written or (total is not None and total < explained - cached - written),
    )


def _for_an_hour(raw: Mapping[str, Any]) -> int:
    details = raw.get("cacheDetails")
    return sum(
        counted(detail, "inputTokens")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("ttl") == "1h"
    )
