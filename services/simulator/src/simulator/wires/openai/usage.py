"""Usage objects: the same counts as each provider of this wire writes them down. Pure.

`prompt` includes cached tokens; `completion` includes reasoning, but for xAI, which reports reasoning beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from simulator.wires.openai.rows import UsageShape

# OpenRouter's bill, in nano-dollars a token; the same for every model, because prices are not the simulator's matter.
PROMPT_NANO_USD = 100
COMPLETION_NANO_USD = 400
# Providers that report times report these seconds a token.
SECONDS_A_TOKEN = 0.002


class Counts(NamedTuple):
    """Tokens of one call."""

    prompt: int
    completion: int
    cached: int
    cache_write: int
    reasoning: int


def usage_object(shape: UsageShape, counts: Counts) -> dict[str, Any]:
    """The `usage` member in that shape."""
    return _SHAPES[shape](counts)


def _plain(counts: Counts) -> dict[str, Any]:
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
    }


def _openai(counts: Counts) -> dict[str, Any]:
    prompt = {"cached_tokens": counts.cached, "audio_tokens": 0}
    if counts.cache_write:
        prompt["cache_write_tokens"] = counts.cache_write
    return {
        **_plain(counts),
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _groq(counts: Counts) -> dict[str, Any]:
    prompt_time, completion_time = counts.prompt * SECONDS_A_TOKEN, counts.completion * SECONDS_A_TOKEN
    usage: dict[str, Any] = {
        "queue_time": 0.005,
        "prompt_tokens": counts.prompt,
        "prompt_time": round(prompt_time, 6),
        "completion_tokens": counts.completion,
        "completion_time": round(completion_time, 6),
        "total_tokens": counts.prompt + counts.completion,
        "total_time": round(prompt_time + completion_time, 6),
    }
    if counts.cached:
        usage["prompt_tokens_details"] = {"cached_tokens": counts.cached}
    if counts.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
    return usage


def _mistral(counts: Counts) -> dict[str, Any]:
    cached = {"prompt_tokens_details": {"cached_tokens": counts.cached}} if counts.cached else {}
    return {**_plain(counts), **cached}


def _openrouter(counts: Counts) -> dict[str, Any]:
    prompt_cost, completion_cost = counts.prompt * PROMPT_NANO_USD, counts.completion * COMPLETION_NANO_USD
    return {
        **_plain(counts),
        "cost": _dollars(prompt_cost + completion_cost),
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": counts.cached,
            "cache_write_tokens": counts.cache_write,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": _dollars(prompt_cost + completion_cost),
            "upstream_inference_prompt_cost": _dollars(prompt_cost),
            "upstream_inference_completions_cost": _dollars(completion_cost),
        },
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning, "image_tokens": 0, "audio_tokens": 0},
    }


def _deepseek(counts: Counts) -> dict[str, Any]:
    reasoning = {"completion_tokens_details": {"reasoning_tokens": counts.reasoning}} if counts.reasoning else {}
    return {
        **_plain(counts),
        "prompt_tokens_details": {"cached_tokens": counts.cached},
        **reasoning,
        "prompt_cache_hit_tokens": counts.cached,
        "prompt_cache_miss_tokens": max(0, counts.prompt - counts.cached),
    }


def _together(counts: Counts) -> dict[str, Any]:
    return {**_plain(counts), "cached_tokens": counts.cached}


def _xai(counts: Counts) -> dict[str, Any]:
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion - counts.reasoning,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {
            "text_tokens": counts.prompt,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": counts.cached,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "num_sources_used": 0,
    }


def _cerebras(counts: Counts) -> dict[str, Any]:
    return {
        **_plain(counts),
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
            "reasoning_tokens": counts.reasoning,
        },
        "prompt_tokens_details": {"cached_tokens": counts.cached},
    }


def _dollars(nano: int) -> msgspec.Raw:
    """A JSON number of dollars, exact: no float ever holds money."""
    return msgspec.Raw(f"{nano // 10**9}.{nano % 10**9:09d}".encode())


_SHAPES: dict[UsageShape, Callable[[Counts], dict[str, Any]]] = {
    "plain": _plain,
    "openai": _openai,
    "groq": _groq,
    "mistral": _mistral,
    "openrouter": _openrouter,
    "deepseek": _deepseek,
    "together": _together,
    "xai": _xai,
    "cerebras": _cerebras,
}
