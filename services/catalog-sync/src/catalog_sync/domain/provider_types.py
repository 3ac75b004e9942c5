"""The types of providers that models are listed of: those that can be called, and those that are only known.

What can be called stands in the registry (`common.providers`). Beside it stand the makers and hosts here, so that a
catalog shows what there is on the market and what it costs; their models are listed, disabled, and no gateway hears of
them. A type that gets a row in the registry is callable from the next start on, without a change here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from common.providers.registry import PROVIDERS

_KNOWN: Mapping[str, str] = MappingProxyType(
    {
        "anthropic": "Anthropic",
        "google": "Google",
        "vertex": "Google Vertex AI",
        "cohere": "Cohere",
        "azure": "Azure OpenAI",
        "bedrock": "Amazon Bedrock",
        "xai": "xAI",
        "cerebras": "Cerebras",
        "perplexity": "Perplexity",
        "fireworks": "Fireworks AI",
        "huggingface": "Hugging Face",
        "ai21": "AI21",
        "arcee": "Arcee",
        "avian": "Avian",
        "baseten": "Baseten",
        "cloudflare": "Cloudflare Workers AI",
        "databricks": "Databricks",
        "deepinfra": "DeepInfra",
        "doubleword": "Doubleword",
        "elevenlabs": "ElevenLabs",
        "meta": "Meta",
        "minimax": "MiniMax",
        "modal": "Modal",
        "moonshot": "Moonshot AI",
        "nebius": "Nebius",
        "novita": "Novita",
        "ovhcloud": "OVHcloud",
        "voyage": "Voyage AI",
        "zai": "Z.AI",
        "zhipu": "Zhipu AI",
    }
)


def is_callable(provider_type: str) -> bool:
    """Whether calls of this type can be made at all."""
    return provider_type in PROVIDERS


def is_known(provider_type: str) -> bool:
    """Whether models of this type are listed."""
    return provider_type in PROVIDERS or provider_type in _KNOWN


def display_name_of(provider_type: str) -> str:
    """What a type is called; itself, when nobody knows."""
    row = PROVIDERS.get(provider_type)
    return row.display_name if row else _KNOWN.get(provider_type, provider_type)
