"""Embeddings of the `cohere` wire: v2/embed."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import Asked
from gateway.providers.errors import ProviderFailed
from gateway.providers.vectors import texts_of, told
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.cohere.usage import decode_usage


class _Vectors(msgspec.Struct, rename={"numbers": "float"}):
    numbers: list[list[float]]


class _Embeddings(msgspec.Struct):
    embeddings: _Vectors
    meta: dict[str, Any] | None = None


_read = msgspec.json.Decoder(_Embeddings).decode


def encode(members: Members, provider: ProviderRow, model: str) -> Outgoing:
    """The request. Raises ProviderFailed for tokens in place of texts. Cohere wants to know what the vectors are for
    (documents, unless the client says so), and cuts what is too long unless it is told not to."""
    asked = Asked(members)
    body: dict[str, Any] = {
        "model": model,
        "texts": texts_of(asked, provider.display_name),
        "input_type": asked.take("input_type") or "search_document",
        "truncate": asked.take("truncate") or "NONE",
        "embedding_types": ["float"],
    }
    if (size := asked.take("dimensions")) is not None:
        body["output_dimension"] = size
    return Outgoing("/v2/embed", msgspec.json.encode(body), asked.dropped())


def decode(body: bytes, members: Members, provider: ProviderRow, _created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is none."""
    try:
        found = _read(body)
        usage = decode_usage(found.meta) if found.meta else None
        return told(found.embeddings.numbers, members, model, usage, found.meta)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no embeddings") from error
