"""The providers that speak OpenAI's wire, one row each, with what sets them apart. Facts read from real traffic.

Adding a provider is adding a row. `prefixes` are `/<provider>` and the path of its real base URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

ErrorShape = Literal[
    "openai", "groq", "mistral", "openrouter", "xai", "azure", "cerebras", "perplexity", "fireworks", "bare", "vllm"
]
UsageShape = Literal["openai", "groq", "mistral", "openrouter", "deepseek", "together", "xai", "plain", "cerebras"]
LimitHeaders = Literal["openai", "groq", "mistral", "together", "counts", "none"]
IdShape = Literal["chatcmpl", "chatcmpl-uuid", "hex", "uuid", "gen"]
UsagePlace = Literal["own", "last", "after"]
"""Of a stream's usage: in a chunk of its own without choices, in the chunk with the finish reason, or in one more
chunk with choices after that."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One provider's ways."""

    name: str
    prefixes: tuple[str, ...]
    models: tuple[str, ...]
    """Models it lists; it answers to any other name as well."""
    needs_key: bool = True
    is_strict: bool = False
    """Refuses what OpenAI itself refuses: stream_options without stream, both token limits, the old limit for
    reasoning models."""
    errors: ErrorShape = "openai"
    usage: UsageShape = "plain"
    usage_place: UsagePlace = "own"
    sends_usage_unasked: bool = False
    sends_null_usage: bool = False
    limits: LimitHeaders = "none"
    ids: IdShape = "chatcmpl"
    has_logprobs: bool = True
    has_refusal: bool = False
    has_native_finish: bool = False
    role_in_every_delta: bool = False
    reasoning: Literal["hidden", "reasoning", "reasoning_content", "thinking"] = "hidden"
    """Whether and under which name the text of reasoning is shown."""
    absent_tool_calls: Literal["left_out", "null", "empty"] = "left_out"
    content_beside_calls: str | None = None
    has_whole_calls: bool = False
    """Streams each tool call in one chunk."""
    has_indexed_calls: bool = False
    """Whole answers number their tool calls."""
    comments: int = 0
    """Comment lines before a stream's first chunk."""
    has_filter_chunk: bool = False
    """A stream begins with a chunk without choices that reports on the prompt."""
    responses: Literal["none", "stateless", "stored"] = "none"
    """Whether it has the Responses API, too, and keeps responses when asked to."""
    lists_bare: bool = False
    """The models list is an array, not an object."""
    members: dict[str, Any] = field(default_factory=dict)
    """Further members of every answer and chunk."""


_ROWS = (
    Row(
        name="openai",
        prefixes=("/openai/v1",),
        models=("gpt-3.5-turbo", "gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "o3-mini", "gpt-5-mini"),
        responses="stored",
        is_strict=True,
        usage="openai",
        sends_null_usage=True,
        limits="openai",
        has_refusal=True,
        members={"service_tier": "default"},
    ),
    Row(
        name="azure",
        prefixes=("/azure/openai/v1", "/azure/v1", "/azure"),
        models=("gpt-4o", "gpt-4o-mini", "gpt-4.1"),
        responses="stored",
        is_strict=True,
        errors="azure",
        usage="openai",
        sends_null_usage=True,
        limits="openai",
        has_refusal=True,
        has_filter_chunk=True,
    ),
    Row(
        name="groq",
        prefixes=("/groq/openai/v1",),
        models=("llama-3.3-70b-versatile", "llama-3.1-8b-instant", "openai/gpt-oss-120b", "openai/gpt-oss-20b"),
        errors="groq",
        usage="groq",
        usage_place="last",
        sends_usage_unasked=True,
        limits="groq",
        ids="chatcmpl-uuid",
        reasoning="reasoning",
        has_whole_calls=True,
    ),
    Row(
        name="together",
        prefixes=("/together/v1",),
        models=("meta-llama/Llama-3.3-70B-Instruct-Turbo", "Qwen/Qwen2.5-7B-Instruct-Turbo", "deepseek-ai/DeepSeek-V3"),
        usage="together",
        usage_place="last",
        sends_usage_unasked=True,
        limits="together",
        ids="hex",
        absent_tool_calls="empty",
        lists_bare=True,
    ),
    Row(
        name="mistral",
        prefixes=("/mistral/v1",),
        models=("mistral-large-latest", "mistral-small-latest", "ministral-8b-latest", "codestral-latest"),
        errors="mistral",
        usage="mistral",
        usage_place="last",
        sends_usage_unasked=True,
        limits="mistral",
        ids="hex",
        has_logprobs=False,
        reasoning="thinking",
        absent_tool_calls="null",
        content_beside_calls="",
        has_whole_calls=True,
        has_indexed_calls=True,
    ),
    Row(
        name="openrouter",
        prefixes=("/openrouter/api/v1",),
        models=("openai/gpt-4o-mini", "anthropic/claude-3.5-sonnet", "meta-llama/llama-3.1-8b-instruct:free"),
        responses="stateless",
        errors="openrouter",
        usage="openrouter",
        usage_place="after",
        sends_usage_unasked=True,
        ids="gen",
        has_refusal=True,
        has_native_finish=True,
        role_in_every_delta=True,
        reasoning="reasoning",
        content_beside_calls="",
        has_indexed_calls=True,
        comments=2,
        members={"provider": "Simulated"},
    ),
    Row(
        name="deepseek",
        prefixes=("/deepseek", "/deepseek/v1"),
        models=("deepseek-chat", "deepseek-reasoner"),
        responses="stateless",
        usage="deepseek",
        usage_place="last",
        sends_usage_unasked=True,
        ids="uuid",
        reasoning="reasoning_content",
        content_beside_calls="",
        has_indexed_calls=True,
    ),
    Row(
        name="xai",
        prefixes=("/xai/v1",),
        models=("grok-4", "grok-3-mini"),
        responses="stored",
        errors="xai",
        usage="xai",
        sends_usage_unasked=True,
        limits="counts",
        ids="uuid",
        has_refusal=True,
        reasoning="reasoning_content",
        content_beside_calls="",
        has_whole_calls=True,
    ),
    Row(
        name="cerebras",
        prefixes=("/cerebras/v1",),
        models=("gpt-oss-120b", "llama-3.3-70b", "zai-glm-4.7"),
        errors="cerebras",
        usage="cerebras",
        usage_place="last",
        sends_usage_unasked=True,
        ids="chatcmpl-uuid",
        has_logprobs=False,
        reasoning="reasoning",
        has_whole_calls=True,
    ),
    Row(
        name="perplexity",
        prefixes=("/perplexity", "/perplexity/v1"),
        models=("sonar", "sonar-pro", "sonar-reasoning-pro"),
        errors="perplexity",
        usage_place="last",
        sends_usage_unasked=True,
        ids="uuid",
        has_logprobs=False,
        role_in_every_delta=True,
        content_beside_calls="",
    ),
    Row(
        name="fireworks",
        prefixes=("/fireworks/inference/v1",),
        models=("accounts/fireworks/models/llama-v3p3-70b-instruct", "accounts/fireworks/models/deepseek-v3"),
        errors="fireworks",
        usage_place="last",
        sends_usage_unasked=True,
        limits="openai",
        ids="uuid",
        has_logprobs=False,
    ),
    Row(
        name="huggingface",
        prefixes=("/huggingface/v1",),
        models=("meta-llama/Llama-3.1-8B-Instruct", "deepseek-ai/DeepSeek-R1"),
        errors="bare",
        sends_usage_unasked=True,
        ids="hex",
        has_logprobs=False,
        absent_tool_calls="empty",
    ),
    Row(
        name="ollama",
        prefixes=("/ollama/v1",),
        models=("llama3.2", "qwen2.5", "mistral"),
        needs_key=False,
        has_logprobs=False,
        reasoning="reasoning",
        content_beside_calls="",
        has_whole_calls=True,
    ),
    Row(
        name="vllm",
        prefixes=("/vllm/v1",),
        models=("meta-llama/Llama-3.1-8B-Instruct",),
        needs_key=False,
        errors="vllm",
        reasoning="reasoning_content",
        absent_tool_calls="empty",
    ),
    Row(
        name="custom",
        prefixes=("/custom/v1", "/custom"),
        models=("custom-model",),
        needs_key=False,
        usage="openai",
    ),
)


def rows() -> tuple[Row, ...]:
    """Every provider of this wire."""
    return _ROWS


def plain_row(name: str) -> Row | None:
    """A provider that has no row: plain ways, and no models but those it is asked for; None for what is no name, or
    the name of something else."""
    is_known = name == "control" or any(row.name == name for row in _ROWS)
    return None if is_known or not _NAME.fullmatch(name) else Row(name=name, prefixes=(), models=())
