"""Usage reports of the `openai` wire, whatever its speakers make of them, as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from common.usage import Usage
from msgspec import Meta, Struct

from gateway.providers.counting import MOST_TOKENS, count_of, details_in

_Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)] | None


class _Inside(Struct):
    """What the prompt's tokens were."""

    cached_tokens: _Count = None
    cache_write_tokens: _Count = None
    audio_tokens: _Count = None


class _Outside(Struct):
    """What the completion's tokens were."""

    reasoning_tokens: _Count = None
    audio_tokens: _Count = None


_NOTHING_INSIDE, _NOTHING_OUTSIDE = _Inside(), _Outside()


class _Report(Struct):
    """A report as nearly all are: counts that can be true, and nothing else where a count belongs."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _Inside | None = None
    completion_tokens_details: _Outside | None = None
    prompt_cache_hit_tokens: _Count = None
    cached_tokens: _Count = None


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets whose sum is the provider's total; None for what is no report.

    Tokens that only the total shows (reasoning of some providers, audio of others) are found by the difference. What
    contradicts itself is clamped: no bucket is ever negative.
    """
    try:
        report = msgspec.convert(raw, _Report)
    except msgspec.ValidationError:
        report = _cleaned(raw)
    if report.prompt_tokens is None and report.completion_tokens is None:
        return None
    prompt, completion = report.prompt_tokens or 0, report.completion_tokens or 0
    inside = report.prompt_tokens_details or _NOTHING_INSIDE
    outside = report.completion_tokens_details or _NOTHING_OUTSIDE
    total = prompt + completion if report.total_tokens is None else report.total_tokens
    is_short = total < prompt + completion
    audio_in, reasoning = inside.audio_tokens or 0, outside.reasoning_tokens or 0
    unexplained = 0 if is_short else total - prompt - completion
    if unexplained and unexplained == audio_in:
        prompt += unexplained
    elif unexplained:
        completion += unexplained
        reasoning = max(reasoning, unexplained)
    cached = inside.cached_tokens or report.prompt_cache_hit_tokens or report.cached_tokens or 0
    written = inside.cache_write_tokens or 0
    is_odd = is_short or cached + written > prompt or reasoning > completion
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    audio_in = min(audio_in, prompt - cached - written)
    reasoning = min(reasoning, completion)
    audio_out = min(outside.audio_tokens or 0, completion - reasoning)
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


def _cleaned(raw: Mapping[str, Any]) -> _Report:
    """A report with its counts clamped to what can be true, and without what is no count."""
    report = _Report(**_counts(_Report, raw))
    report.prompt_tokens_details = _Inside(**_counts(_Inside, details_in(raw, "prompt_tokens_details")))
    report.completion_tokens_details = _Outside(**_counts(_Outside, details_in(raw, "completion_tokens_details")))
    return report


def _counts(kind: type[Struct], raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: count_of(raw.get(name)) for name in kind.__struct_fields__}
