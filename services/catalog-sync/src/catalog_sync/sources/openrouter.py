"""Source `openrouter`: OpenRouter's public list of the models that it serves, its own word on them.

Prices there are US dollars for one token, one image, one request or one search, as decimal strings; `-1` is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from common.http.fetch import SourceUnreadable

from catalog_sync.domain.capabilities import capabilities_of
from catalog_sync.domain.listing import ListedModel, ListedPrice, Quote
from catalog_sync.domain.models import Facts
from catalog_sync.sources.parsing import MOST_MODELS, dollars, member, model_name, parse_json, text, tokens

_TYPE = "openrouter"
_MILLION = 1_000_000

_RATES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "prompt": ("input_tokens", _MILLION),
        "completion": ("output_tokens", _MILLION),
        "internal_reasoning": ("reasoning_tokens", _MILLION),
        "input_cache_read": ("cached_input_tokens", _MILLION),
        "input_cache_write": ("cache_write_5m_tokens", _MILLION),
        "audio": ("audio_input_tokens", _MILLION),
        "request": ("request", 1),
        "image": ("images", 1),
        "web_search": ("web_searches", 1),
    }
)
"""Its name of a price → our bucket or unit, and how many of what it prices make one of ours."""

_ABSENT_WHEN_ZERO = frozenset({"internal_reasoning", "input_cache_read", "input_cache_write", "audio", "request"})
"""Where its 0 says that nothing of the kind is charged apart, not that it is free."""


def parse(body: bytes) -> tuple[ListedModel, ...]:
    """The list's models; SourceUnreadable for what is no such list."""
    content = parse_json(body)
    listed = content.get("data") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_MODELS:
        raise SourceUnreadable("it should be an object whose `data` lists models")
    found = tuple(_models(listed))
    if len(found) * 2 < len(listed):
        raise SourceUnreadable(f"only {len(found)} of its {len(listed)} entries are models that we can read")
    return found


def _models(listed: list[Any]) -> Iterator[ListedModel]:
    for entry in listed:
        name = model_name(entry.get("id")) if isinstance(entry, dict) else None
        if name:
            facts = Facts(
                provider_type=_TYPE,
                name=name,
                display_name=text(entry.get("name")) or name,
                description=text(entry.get("description")),
                context_length=tokens(entry.get("context_length")),
                max_output_tokens=tokens(member(entry, "top_provider").get("max_completion_tokens")),
                capabilities=_capabilities(name, entry),
            )
            yield ListedModel(facts, _prices(member(entry, "pricing")), ends_at=_end(entry.get("expiration_date")))


def _prices(pricing: Mapping[str, Any]) -> tuple[ListedPrice, ...]:
    quotes: dict[str, Quote] = {}
    for key, (bucket, per) in _RATES.items():
        if key in pricing:
            rate = dollars(pricing[key], per)
            if rate is None:
                return ()
            if rate or key not in _ABSENT_WHEN_ZERO:
                quotes[bucket] = Quote(rate)
    for unit in ("images", "web_searches"):
        if unit in quotes and quotes[unit].basis == Decimal(0):
            del quotes[unit]
    return (ListedPrice(None, (quotes,)),) if "input_tokens" in quotes else ()


def _capabilities(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    architecture, parameters = member(entry, "architecture"), entry.get("supported_parameters")
    takes, gives = architecture.get("input_modalities"), architecture.get("output_modalities")
    stated = {str(one) for one in parameters} if isinstance(parameters, list) else set()
    can = {
        "vision": isinstance(takes, list) and "image" in takes,
        "audio": any(isinstance(each, list) and "audio" in each for each in (takes, gives)),
        "image": isinstance(gives, list) and "image" in gives,
        "tools": "tools" in stated,
        "json_schema": "structured_outputs" in stated,
        "reasoning": "reasoning" in stated,
    }
    return (*capabilities_of(name), *(capability for capability, is_so in can.items() if is_so))


def _end(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)[:10]).replace(tzinfo=UTC) if value else None
    except ValueError:
        return None
