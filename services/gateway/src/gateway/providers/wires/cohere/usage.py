"""Usage reports of the `cohere` wire as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.usage import Usage

from gateway.providers.counting import count_of, counted, details_in

_TOKENS = ("input_tokens", "output_tokens")


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets; None for what is no report.

    Cohere says twice what was used: in `billed_units` what it charges for, in `tokens` what the model saw, its own
    preamble included. What is charged for counts here. Units that are no tokens (searches, classifications) stay units.
    """
    billed, seen = details_in(raw, "billed_units"), details_in(raw, "tokens")
    found = [_first(name, billed, seen) for name in _TOKENS]
    units = {name: count for name, value in billed.items() if name not in _TOKENS and (count := count_of(value))}
    if found == [None, None] and not units:
        return None
    read, produced = found[0] or 0, found[1] or 0
    held, pondered = counted(raw, "cached_tokens"), counted(seen, "reasoning_tokens")
    cached, thought = min(held, read), min(pondered, produced)
    return Usage(
        input_tokens=read - cached,
        cached_input_tokens=cached,
        output_tokens=produced - thought,
        reasoning_tokens=thought,
        units=units,
        anomalous=held > max(read, counted(seen, "input_tokens")) or pondered > produced,
    )


def _first(name: str, *reports: Mapping[str, Any]) -> int | None:
    counts = [count_of(report.get(name)) for report in reports]
    return next((count for count in counts if count is not None), None)
