"""Embeddings of the `gemini` wire: batchEmbedContents, one request in it a text."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import Asked
from gateway.providers.errors import ProviderFailed
from gateway.providers.vectors import texts_of, told
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.gemini.usage import decode_usage

_OWN = ("taskType", "title")
"""Parameters of the provider's own that clients which know them may send."""


class _Vector(msgspec.Struct):
    values: list[float]


class _Embeddings(msgspec.Struct):
    embeddings: list[_Vector]
    usageMetadata: dict[str, Any] | None = None


_read = msgspec.json.Decoder(_Embeddings).decode


def encode(members: Members, provider: ProviderRow, model: str) -> Outgoing:
    """The request. Raises ProviderFailed for tokens in place of texts."""
    asked = Asked(members)
    texts, own = texts_of(asked, provider.display_name), {"model": f"models/{model}"}
    size = asked.take("dimensions")
    settings = {**own, **({"outputDimensionality": size} if size is not None else {})}
    settings.update({name: value for name in _OWN if (value := asked.take(name)) is not None})
    requests = [{**settings, "content": {"parts": [{"text": text}]}} for text in texts]
    path = f"/models/{quote(model, safe='@')}:batchEmbedContents"
    return Outgoing(path, msgspec.json.encode({"requests": requests}), asked.dropped())


def decode(body: bytes, members: Members, provider: ProviderRow, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is none."""
    try:
        found = _read(body)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no embeddings") from error
    raw = found.usageMetadata
    return told([one.values for one in found.embeddings], members, model, decode_usage(raw) if raw else None, raw)
