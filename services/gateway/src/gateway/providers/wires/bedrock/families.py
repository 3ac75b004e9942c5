"""How the models of each maker are told to think: Converse has no word of its own for it. Pure.

One row a family, found by a part of the model's name; the first that fits holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_LEAST_BUDGET = 1024
_LEAST_ANSWER = 256
_SHARES: Mapping[str, float] = MappingProxyType({"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8})
_MOST_SHARE = 0.9
_THREE: Mapping[str, str] = MappingProxyType({"minimal": "low", "xhigh": "high", "max": "high"})
"""OpenAI's words for effort in those of models that know three."""


def thinking_fields(model: str, effort: str, output_tokens: int) -> dict[str, Any] | None:
    """The additional fields that ask a model for this much thinking; None when it cannot be asked."""
    for name, fields in _FAMILIES:
        if name.search(model):
            return fields(effort, output_tokens)
    return None


def _adaptive(effort: str, _output_tokens: int) -> dict[str, Any] | None:
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low" if effort == "minimal" else effort}}


def _budgeted(effort: str, output_tokens: int) -> dict[str, Any] | None:
    """Thinking is a part of the output, and at least so much; a shorter answer leaves no room for it."""
    if effort == "none":
        return {}
    budget = max(_LEAST_BUDGET, int(output_tokens * _SHARES.get(effort, _MOST_SHARE)))
    budget = min(budget, output_tokens - _LEAST_ANSWER)
    return {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= _LEAST_BUDGET else None


def _in_three(member: str) -> Callable[[str, int], dict[str, Any] | None]:
    return lambda effort, _: {member: _THREE.get(effort, effort)} if effort != "none" else None


def _nova(effort: str, _output_tokens: int) -> dict[str, Any] | None:
    if effort == "none":
        return {"reasoningConfig": {"type": "disabled"}}
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _THREE.get(effort, effort)}}


_FAMILIES: tuple[tuple[re.Pattern[str], Callable[[str, int], dict[str, Any] | None]], ...] = (
    (re.compile(r"claude-(?:[a-z]+-)?(?:4-[6-9]|[5-9])(?!\d)"), _adaptive),
    (re.compile(r"claude-(?:3-7|[a-z]+-4)"), _budgeted),
    (re.compile(r"openai\.gpt-oss"), _in_three("reasoning_effort")),
    (re.compile(r"qwen\."), _in_three("reasoning_config")),
    (re.compile(r"amazon\.nova-2"), _nova),
)
