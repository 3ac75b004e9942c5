"""Usage reports of the `gemini` wire as disjoint buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.usage import Usage

from gateway.providers.counting import count_of, counted


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets whose sum is the provider's total; None for what is no report.

    What Google's own tools put into the prompt is counted beside it; cached tokens are part of it. Tokens that only the
    total shows were thought. What contradicts itself is clamped: no bucket is ever negative. Tokens of pictures are units,
    since they have prices of their own.
    """
    prompt, total = count_of(raw.get("promptTokenCount")), count_of(raw.get("totalTokenCount"))
    if prompt is None and total is None:
        return None
    prompt = (prompt or 0) + counted(raw, "toolUsePromptTokenCount")
    produced = counted(raw, "candidatesTokenCount")
    thought = counted(raw, "thoughtsTokenCount")
    thought += max(0, (total or 0) - prompt - produced - thought)
    told = counted(raw, "cachedContentTokenCount")
    cached = min(told, prompt)
    heard = max(0, _of(raw, "promptTokensDetails", "AUDIO") - _of(raw, "cacheTokensDetails", "AUDIO"))
    heard = min(heard, prompt - cached)
    said = min(_of(raw, "candidatesTokensDetails", "AUDIO"), produced)
    drawn = min(_of(raw, "candidatesTokensDetails", "IMAGE"), produced - said)
    return Usage(
        input_tokens=prompt - cached - heard,
        cached_input_tokens=cached,
        output_tokens=produced - said - drawn,
        reasoning_tokens=thought,
        audio_input_tokens=heard,
        audio_output_tokens=said,
        units={"output_image_tokens": drawn} if drawn else {},
        anomalous=told > prompt or (total is not None and total < prompt + produced + thought),
    )


def _of(raw: Mapping[str, Any], name: str, modality: str) -> int:
    """Tokens of one kind, by the details of this name."""
    found = raw.get(name)
    details = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return sum(counted(one, "tokenCount") for one in details if one.get("modality") == modality)
