"""The providers, one frozen row each: what they are called, how they are spoken to, where they live.

Adding a provider that speaks OpenAI's wire is one row here. What differs between providers of one wire is a named flag
of the row, so that code asks for the flag and never for the provider's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

Wire = Literal["openai", "anthropic", "gemini", "cohere", "bedrock", "responses"]
"""The languages that providers speak; each is one module of the gateway."""

Capability = Literal[
    "chat", "completion", "embeddings", "moderation", "rerank", "image", "speech", "transcription", "translation"
]
"""What can be asked of a provider, by the catalog's words for what its models are for."""

AuthScheme = Literal["bearer", "api-key", "x-api-key", "x-goog-api-key", "optional-bearer", "aws", "google", "none"]
"""How a credential is shown to a provider (`auth.py`)."""


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One provider. `env` names the variable that usually holds its key; `flags` name its departures from the wire;
    `makes` are the beginnings of the names of its own models; `headers` go with every call, unless an instance has its own
    of that name. A GET of `probe_url` tells whether a key is good."""

    type: str
    display_name: str
    wire: Wire
    base_url: str
    auth: AuthScheme = "bearer"
    env: str = ""
    key_url: str = ""
    genai_prices_id: str = ""
    flags: frozenset[str] = frozenset()
    capabilities: tuple[Capability, ...] = ("chat",)
    makes: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    probe_path: str = "/models"
    probe_host: tuple[str, str] = ("", "")

    def probe_url(self, base_url: str) -> str:
        """What to GET; `probe_host` is what stands in for a part of the base URL there."""
        return base_url.replace(*self.probe_host, 1) + self.probe_path


# flags
NO_STREAM_OPTIONS = "no_stream_options"
"""Refuses `stream_options`; sends usage in a stream unasked."""
MAX_TOKENS_ONLY = "max_tokens_only"
"""Knows `max_tokens` but not its successor `max_completion_tokens`."""
REFUSES_KEYS_WITH_400 = "refuses_keys_with_400"
"""Answers a key that it does not know with 400, as if the request were at fault."""
NEEDS_NO_KEY = "needs_no_key"
"""May be called without a credential: somebody's own machine."""
NO_SAMPLING = "no_sampling"
"""Refuses temperature and its like."""
HAS_RESPONSES = "has_responses"
"""Speaks OpenAI's Responses API beside chat."""
COMPLETES_WITH_ANY_MODEL = "completes_with_any_model"
"""Serves OpenAI's old completions with every model, as servers of open models do, and not with old ones alone."""

EMBEDS_BY_PREDICTION = "embeds_by_prediction"
"""Embeds as a platform for models of many makers does: the older models by `:predict`, and settings beside the content."""

FLAGS_OF_HEADERS: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType(
    {("anthropic-version", "2026-10-21"): frozenset({NO_SAMPLING})}
)
"""What a header that an instance sets changes in how its provider is spoken to."""


_EVERY: tuple[Capability, ...] = (
    "chat",
    "completion",
    "embeddings",
    "moderation",
    "rerank",
    "image",
    "speech",
    "transcription",
    "translation",
)
_openai = partial(ProviderRow, wire="openai")

_ROWS = (
    _openai(
        type="openai",
        display_name="OpenAI",
        base_url="https://api.openai.com/v1",
        env="OPENAI_API_KEY",
        key_url="https://platform.openai.com/api-keys",
        genai_prices_id="openai",
        makes=("gpt-", "chatgpt-", "codex", "o1", "o3", "o4", "text-embedding-", "omni-", "dall-e-", "whisper", "tts-"),
        capabilities=(
            "chat",
            "completion",
            "embeddings",
            "moderation",
            "image",
            "speech",
            "transcription",
            "translation",
        ),
        flags=frozenset({HAS_RESPONSES}),
    ),
    ProviderRow(
        type="anthropic",
        display_name="Anthropic",
        wire="anthropic",
        base_url="https://api.anthropic.com/v1",
        auth="x-api-key",
        env="ANTHROPIC_API_KEY",
        key_url="https://platform.claude.com/settings/keys",
        genai_prices_id="anthropic",
        makes=("claude-",),
        headers=(("anthropic-version", "2023-06-01"),),
    ),
    ProviderRow(
        type="google",
        display_name="Google",
        wire="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        auth="x-goog-api-key",
        env="GEMINI_API_KEY",
        key_url="https://aistudio.google.com/apikey",
        genai_prices_id="google",
        makes=("gemini-", "gemma-", "learnlm-"),
        capabilities=("chat", "embeddings", "image", "speech"),
    ),
    ProviderRow(
        type="vertex",
        display_name="Google Vertex AI",
        wire="gemini",
        base_url="",  # …-aiplatform.googleapis.com/v1/projects/<project>/locations/<location>/publishers/google
        auth="google",
        env="VERTEX_API_KEY",
        key_url="https://console.cloud.google.com/vertex-ai",
        genai_prices_id="google",
        capabilities=("chat", "embeddings", "image", "speech"),
        flags=frozenset({EMBEDS_BY_PREDICTION}),
    ),
    _openai(
        type="groq",
        display_name="Groq",
        base_url="https://api.groq.com/openai/v1",
        env="GROQ_API_KEY",
        key_url="https://console.groq.com/keys",
        genai_prices_id="groq",
        capabilities=("chat", "speech", "transcription", "translation"),
    ),
    _openai(
        type="together",
        display_name="Together",
        base_url="https://api.together.ai/v1",
        env="TOGETHER_API_KEY",
        key_url="https://api.together.ai/settings/api-keys",
        genai_prices_id="together",
        flags=frozenset({COMPLETES_WITH_ANY_MODEL, MAX_TOKENS_ONLY}),
        capabilities=("chat", "completion", "embeddings", "rerank", "image", "speech", "transcription", "translation"),
    ),
    _openai(
        type="mistral",
        display_name="Mistral",
        base_url="https://api.mistral.ai/v1",
        env="MISTRAL_API_KEY",
        key_url="https://console.mistral.ai/api-keys",
        genai_prices_id="mistral",
        makes=("mistral", "ministral", "magistral", "codestral", "devstral", "pixtral", "open-mi"),
        flags=frozenset({NO_STREAM_OPTIONS, MAX_TOKENS_ONLY}),
        capabilities=("chat", "embeddings", "moderation", "transcription"),
    ),
    _openai(
        type="openrouter",
        display_name="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        env="OPENROUTER_API_KEY",
        probe_path="/key",  # its list of models is open to everybody
        key_url="https://openrouter.ai/settings/keys",
        genai_prices_id="openrouter",
        flags=frozenset({MAX_TOKENS_ONLY, HAS_RESPONSES}),
        capabilities=("chat", "completion", "embeddings"),
    ),
    _openai(
        type="deepseek",
        display_name="DeepSeek",
        base_url="https://api.deepseek.com",
        env="DEEPSEEK_API_KEY",
        key_url="https://platform.deepseek.com/api_keys",
        genai_prices_id="deepseek",
        makes=("deepseek",),
        flags=frozenset({MAX_TOKENS_ONLY, HAS_RESPONSES}),
    ),
    ProviderRow(
        type="cohere",
        display_name="Cohere",
        wire="cohere",
        base_url="https://api.cohere.com",
        env="COHERE_API_KEY",
        key_url="https://dashboard.cohere.com/api-keys",
        genai_prices_id="cohere",
        probe_path="/v1/models",
        makes=("command", "c4ai-", "embed-", "rerank-"),
        capabilities=("chat", "embeddings", "rerank"),
    ),
    ProviderRow(
        type="bedrock",
        display_name="Amazon Bedrock",
        wire="bedrock",
        base_url="https://bedrock-runtime.us-east-1.amazonaws.com",  # each region has its own
        auth="aws",
        env="AWS_BEARER_TOKEN_BEDROCK",
        key_url="https://console.aws.amazon.com/bedrock/home#/api-keys",
        genai_prices_id="aws",
        probe_path="/foundation-models",
        probe_host=("bedrock-runtime.", "bedrock."),
        makes=("amazon.",),
        capabilities=("chat", "embeddings"),
    ),
    _openai(
        type="azure",
        display_name="Azure OpenAI",
        base_url="",  # https://<resource>.openai.azure.com/openai/v1: the resource is each customer's own
        auth="api-key",
        env="AZURE_OPENAI_API_KEY",
        key_url="https://portal.azure.com",
        genai_prices_id="azure",
        capabilities=("chat", "completion", "embeddings", "image", "speech", "transcription", "translation"),
        flags=frozenset({HAS_RESPONSES}),
    ),
    _openai(
        type="xai",
        display_name="xAI",
        base_url="https://api.x.ai/v1",
        env="XAI_API_KEY",
        key_url="https://console.x.ai",
        genai_prices_id="x-ai",
        makes=("grok-",),
        flags=frozenset({REFUSES_KEYS_WITH_400, HAS_RESPONSES}),
        capabilities=("chat", "image"),
    ),
    _openai(
        type="cerebras",
        display_name="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        env="CEREBRAS_API_KEY",
        key_url="https://cloud.cerebras.ai",
        genai_prices_id="cerebras",
        capabilities=("chat", "completion"),
    ),
    _openai(
        type="perplexity",
        display_name="Perplexity",
        base_url="https://api.perplexity.ai",
        env="PERPLEXITY_API_KEY",
        key_url="https://www.perplexity.ai/account/api/keys",
        genai_prices_id="perplexity",
        makes=("sonar",),
        flags=frozenset({NO_STREAM_OPTIONS, MAX_TOKENS_ONLY}),
    ),
    _openai(
        type="fireworks",
        display_name="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        env="FIREWORKS_API_KEY",
        key_url="https://app.fireworks.ai/settings/users/api-keys",
        genai_prices_id="fireworks",
        flags=frozenset({COMPLETES_WITH_ANY_MODEL, MAX_TOKENS_ONLY}),
        capabilities=("chat", "completion", "embeddings", "rerank"),
    ),
    _openai(
        type="huggingface",
        display_name="Hugging Face",
        base_url="https://router.huggingface.co/v1",
        env="HF_TOKEN",
        key_url="https://huggingface.co/settings/tokens",
        genai_prices_id="huggingface_novita",  # the router's largest server; others differ by a little
        flags=frozenset({MAX_TOKENS_ONLY}),
    ),
    _openai(
        type="ollama",
        display_name="Ollama",
        base_url="http://localhost:11434/v1",
        auth="optional-bearer",
        env="OLLAMA_API_KEY",
        flags=frozenset({COMPLETES_WITH_ANY_MODEL, MAX_TOKENS_ONLY, NEEDS_NO_KEY}),
        capabilities=("chat", "completion", "embeddings"),
    ),
    _openai(
        type="vllm",
        display_name="vLLM",
        base_url="http://localhost:8000/v1",
        auth="optional-bearer",
        env="VLLM_API_KEY",
        flags=frozenset({COMPLETES_WITH_ANY_MODEL, NEEDS_NO_KEY}),
        capabilities=("chat", "completion", "embeddings", "rerank", "transcription", "translation"),
    ),
    _openai(
        type="custom",
        display_name="Custom",
        base_url="",
        env="CUSTOM_API_KEY",
        flags=frozenset({COMPLETES_WITH_ANY_MODEL, MAX_TOKENS_ONLY}),
        capabilities=_EVERY,
    ),
)

PROVIDERS: Mapping[str, ProviderRow] = MappingProxyType({row.type: row for row in _ROWS})
"""Every provider that can be called, by type."""


_ONLY_RESPONSES = re.compile(
    r"(?:o[13]-pro|gpt-[5-9](?:\.\d+)?(?:-pro|-codex)|codex-mini|o[34](?:-mini)?-deep-research|computer-use)"
)
"""How names of models begin that can be called by the Responses API alone."""


def wire_for(row: ProviderRow, model: str) -> Wire:
    """The wire that a provider is spoken to in for a model: its own, but where the model knows another alone."""
    return "responses" if HAS_RESPONSES in row.flags and _ONLY_RESPONSES.match(model) else row.wire


def makers_of(model: str) -> frozenset[str]:
    """The types of the providers that make a model of this name themselves."""
    return frozenset(row.type for row in _ROWS if row.makes and model.startswith(row.makes))
