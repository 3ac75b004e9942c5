"""Embeddings of the `bedrock` wire: InvokeModel, whose body each family of models has its own shape for.

Titan and Nova take one text a call; several are refused and not asked for one after another, since an attempt is one call
of its provider. Only Titan says how many tokens it read; for the others they are estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import Asked
from gateway.providers.counting import count_of
from gateway.providers.errors import ProviderFailed, untranslatable
from gateway.providers.vectors import texts_of, told
from gateway.providers.wire import Answer, Members, Outgoing

_Spoken = Callable[[list[str], Asked], dict[str, Any]]


def encode(members: Members, provider: ProviderRow, model: str) -> Outgoing:
    """The request. Raises ProviderFailed for tokens, several texts where one is taken, and models of other families."""
    asked = Asked(members)
    texts = texts_of(asked, provider.display_name)
    spoken = next((spoken for family, spoken in _FAMILIES.items() if family in model), None)
    if spoken is None:
        raise untranslatable(f"{provider.display_name} has no embeddings of {model}", "model")
    body = spoken(texts, asked)
    return Outgoing(f"/model/{quote(model, safe='')}/invoke", msgspec.json.encode(body), asked.dropped())


def decode(body: bytes, members: Members, provider: ProviderRow, _created: int, model: str) -> Answer:
    """Read a 200 answer of any family. Raises ProviderFailed for what is none."""
    try:
        found = msgspec.json.decode(body)
        vectors = [[float(number) for number in vector] for vector in _vectors(found)]
        count = count_of(found.get("inputTextTokenCount"))
        used = (Usage(input_tokens=count), {"inputTextTokenCount": count}) if count is not None else (None, None)
        return told(vectors, members, model, *used)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no embeddings") from error


def _vectors(found: dict[str, Any]) -> list[Any]:
    """The vectors of Titan (one), Nova (one, with what it is of) and Cohere (a list, or lists by type)."""
    if "embedding" in found:
        return [found["embedding"]]
    vectors = found["embeddings"]
    if isinstance(vectors, dict):
        return list(vectors["float"])
    return [vector["embedding"] if isinstance(vector, dict) else vector for vector in vectors]


def _titan(texts: list[str], asked: Asked) -> dict[str, Any]:
    size = asked.take("dimensions")
    return {"inputText": _one(texts), **({"dimensions": size} if size is not None else {})}


def _nova(texts: list[str], asked: Asked) -> dict[str, Any]:
    params: dict[str, Any] = {
        "embeddingPurpose": asked.take("embeddingPurpose") or "GENERIC_INDEX",
        "text": {"value": _one(texts), "truncationMode": asked.take("truncationMode") or "NONE"},
    }
    if (size := asked.take("dimensions")) is not None:
        params["embeddingDimension"] = size
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}


def _cohere(texts: list[str], asked: Asked) -> dict[str, Any]:
    size = asked.take("dimensions")
    return {
        "texts": texts,
        "input_type": asked.take("input_type") or "search_document",
        "truncate": asked.take("truncate") or "NONE",
        **({"output_dimension": size} if size is not None else {}),
    }


def _one(texts: list[str]) -> str:
    if len(texts) != 1:
        raise untranslatable("this model embeds one text a call", "input")
    return texts[0]


_FAMILIES: Mapping[str, _Spoken] = MappingProxyType(
    {"titan-embed": _titan, "multimodal-embeddings": _nova, "cohere.embed": _cohere}
)
"""A part of the names of a family's models, and how they are spoken to."""
