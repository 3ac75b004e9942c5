"""Source `litellm`: the public price file that LiteLLM keeps, one object a model, by its own names.

Prices there are US dollars per token; `…_above_200k_tokens` is another rate from that input length on, `…_priority` and
`…_flex` one of a service tier. Models of providers that we do not know, regional copies and fine-tunes are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from common.http.fetch import SourceUnreadable

from catalog_sync.domain.capabilities import capabilities_of
from catalog_sync.domain.listing import ListedModel, ListedPrice, Quote, Quotes
from catalog_sync.domain.models import Facts
from catalog_sync.sources.parsing import MOST_MODELS, day, dollars, model_name, parse_json, tokens

_MILLION = 1_000_000
_FEWEST_MODELS = 20

_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "anthropic": "anthropic",
        "azure": "azure",
        "bedrock": "bedrock",
        "bedrock_converse": "bedrock",
        "cerebras": "cerebras",
        "cohere": "cohere",
        "cohere_chat": "cohere",
        "databricks": "databricks",
        "deepinfra": "deepinfra",
        "deepseek": "deepseek",
        "fireworks_ai": "fireworks",
        "gemini": "google",
        "groq": "groq",
        "minimax": "minimax",
        "mistral": "mistral",
        "moonshot": "moonshot",
        "nebius": "nebius",
        "novita": "novita",
        "openai": "openai",
        "openrouter": "openrouter",
        "ovhcloud": "ovhcloud",
        "perplexity": "perplexity",
        "text-completion-openai": "openai",
        "together_ai": "together",
        "vertex_ai-embedding-models": "vertex",
        "vertex_ai-image-models": "vertex",
        "vertex_ai-language-models": "vertex",
        "vertex_ai-anthropic_models": "vertex",
        "voyage": "voyage",
        "xai": "xai",
        "zai": "zai",
    }
)
"""Its name of a provider → ours."""

_RATES: Mapping[str, str] = MappingProxyType(
    {
        "input_cost_per_token": "input_tokens",
        "output_cost_per_token": "output_tokens",
        "output_cost_per_reasoning_token": "reasoning_tokens",
        "cache_read_input_token_cost": "cached_input_tokens",
        "cache_creation_input_token_cost": "cache_write_5m_tokens",
        "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
        "input_cost_per_audio_token": "audio_input_tokens",
        "output_cost_per_audio_token": "audio_output_tokens",
    }
)
_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "input_cost_per_query": "rerank_searches",
        "input_cost_per_second": "input_audio_seconds",
        "input_cost_per_character": "input_characters",
        "output_cost_per_image": "images",
    }
)
"""Prices of one of something; models that have one are not for nothing, though their tokens may be."""
_RATE = re.compile(r"(?P<rate>.+?)(_above_(?P<thousands>[0-9]{1,4})k_tokens)?(_(?P<tier>priority|flex))?")

_MODES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "chat": ("chat",),
        "responses": ("chat",),
        "completion": ("completion",),
        "embedding": ("embeddings",),
        "image_generation": ("image",),
        "image_edit": ("image",),
        "audio_transcription": ("transcription", "audio"),
        "audio_speech": ("speech", "audio"),
        "rerank": ("rerank",),
        "moderation": ("moderation",),
        "ocr": ("ocr",),
        "realtime": ("realtime", "audio"),
    }
)
_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "supports_vision": "vision",
        "supports_function_calling": "tools",
        "supports_response_schema": "json_schema",
        "supports_reasoning": "reasoning",
        "supports_audio_input": "audio",
        "supports_audio_output": "audio",
    }
)


def parse(body: bytes) -> tuple[ListedModel, ...]:
    """The file's models; SourceUnreadable for what is no such file."""
    content = parse_json(body)
    if not isinstance(content, dict) or len(content) > MOST_MODELS:
        raise SourceUnreadable("it should be one object with a member for each model")
    found = tuple(_models(content))
    if len(found) < _FEWEST_MODELS:
        raise SourceUnreadable(f"only {len(found)} of its entries are models that we can read")
    return found


def _models(content: Mapping[str, Any]) -> Iterator[ListedModel]:
    for key, entry in content.items():
        provider_type = _TYPES.get(str(entry.get("litellm_provider"))) if isinstance(entry, dict) else None
        name = _name(key, str(entry["litellm_provider"])) if provider_type else None
        if provider_type and name:
            facts = Facts(
                provider_type=provider_type,
                name=name,
                display_name=name,
                context_length=tokens(entry.get("max_input_tokens")),
                max_output_tokens=tokens(entry.get("max_output_tokens")),
                capabilities=_capabilities(name, entry),
            )
            yield ListedModel(facts, _prices(entry), ends_at=day(entry.get("deprecation_date")))


def _name(key: str, provider: str) -> str | None:
    """The model's name at its provider; None for regional copies, sizes and fine-tunes, which are no models of ours."""
    own = model_name(key.removeprefix(f"{provider.split('-')[0]}/"))
    if own is None or own.startswith("ft:"):
        return None
    is_copy = provider in ("azure", "bedrock", "bedrock_converse", "openai", "gemini") and "/" in own
    return None if is_copy else own


def _capabilities(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    by_mode = _MODES.get(str(entry.get("mode"))) or capabilities_of(name)
    flagged = [capability for flag, capability in _FLAGS.items() if entry.get(flag) is True]
    return tuple(dict.fromkeys((*by_mode, *flagged)))


def _prices(entry: Mapping[str, Any]) -> tuple[ListedPrice, ...]:
    """The one price of an entry; none when it says none, or when any part of it is no price."""
    rates: dict[str, dict[str, dict[int, Decimal]]] = {"": {}}
    for key, value in entry.items():
        stated = _RATE.fullmatch(key)
        bucket = _RATES.get(stated["rate"]) if stated else None
        if stated and bucket:
            rate = dollars(value, _MILLION)
            if rate is None:
                return ()
            tier = rates.setdefault(stated["tier"] or "", {})
            tier.setdefault(bucket, {})[int(stated["thousands"] or 0) * 1_000] = rate
    for key, unit in _UNITS.items():
        if key in entry:
            rate = dollars(entry[key], 1)
            if rate is None:
                return ()
            rates[""][unit] = {0: rate}
    quotes = {tier: _quotes(stated) for tier, stated in rates.items()}
    if quotes[""].keys().isdisjoint(("input_tokens", *_UNITS.values())):
        return ()
    tiers = {tier: (own,) for tier, own in quotes.items() if tier and "input_tokens" in own}
    return (ListedPrice(None, (quotes[""],), tiers),)


def _quotes(stated: Mapping[str, Mapping[int, Decimal]]) -> Quotes:
    return {
        bucket: Quote(by_length[0], tuple(sorted((start, rate) for start, rate in by_length.items() if start)))
        for bucket, by_length in stated.items()
        if 0 in by_length
    }
