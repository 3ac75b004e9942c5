"""Embeddings of the `gemini` wire: batchEmbedContents, one request in it a text.

The platform (flag EMBEDS_BY_PREDICTION) has settings beside each content, a verb of its own for one text, and asks its
older models by `:predict`, which counts each text's tokens beside its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from common.providers.registry import EMBEDS_BY_PREDICTION, ProviderRow
from common.usage import Usage

from gateway.providers.chat import Asked
from gateway.providers.counting import count_of
from gateway.providers.errors import ProviderFailed
from gateway.providers.vectors import texts_of, told
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.gemini.usage import decode_usage

_OWN = {"taskType": "task_type", "title": "title"}
"""Parameters of the provider's own that clients which know them may send, and what `:predict` calls them."""
_TRUNCATES = "autoTruncate"
_ASKED_BY_CONTENT = "gemini"


class _Vector(msgspec.Struct):
    values: list[float]
    statistics: dict[str, Any] | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Vector


class _Embeddings(msgspec.Struct):
    embeddings: list[_Vector] | None = None
    embedding: _Vector | None = None
    predictions: list[_Prediction] | None = None
    usageMetadata: dict[str, Any] | None = None

    def vectors(self) -> list[_Vector]:
        """The vectors, under whichever name they came. Raises ValueError when there are none."""
        if self.predictions is not None:
            return [one.embeddings for one in self.predictions]
        if self.embedding is not None:
            return [self.embedding]
        if self.embeddings is None:
            raise ValueError("there are no vectors")
        return self.embeddings


_read = msgspec.json.Decoder(_Embeddings).decode


def encode(members: Members, provider: ProviderRow, model: str) -> Outgoing:
    """The request. Raises ProviderFailed for tokens in place of texts."""
    asked = Asked(members)
    texts, size = texts_of(asked, provider.display_name), asked.take("dimensions")
    sized = {"outputDimensionality": size} if size is not None else {}
    own = {name: value for name in _OWN if (value := asked.take(name)) is not None}
    if EMBEDS_BY_PREDICTION not in provider.flags:
        verb, body = "batchEmbedContents", _batch(texts, {"model": f"models/{model}", **sized, **own})
    else:
        truncates = asked.take(_TRUNCATES)
        sized |= {_TRUNCATES: truncates} if truncates is not None else {}
        if _ASKED_BY_CONTENT in model:
            verb, body = _at_the_platform(texts, {**sized, **own})
        else:
            verb, body = "predict", _prediction(texts, sized, own)
    return Outgoing(f"/models/{quote(model, safe='@')}:{verb}", msgspec.json.encode(body), asked.dropped())


def decode(body: bytes, members: Members, provider: ProviderRow, _created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is none."""
    try:
        found = _read(body)
        vectors = found.vectors()
        usage, raw = _counted(found, vectors)
        return told([one.values for one in vectors], members, model, usage, raw)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no embeddings") from error


def _batch(texts: list[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"requests": [{**settings, "content": _content(text)} for text in texts]}


def _at_the_platform(texts: list[str], settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Verb and body for one text, or for several."""
    beside = {"embedContentConfig": settings} if settings else {}
    if len(texts) == 1:
        return "embedContent", {"content": _content(texts[0]), **beside}
    return "batchEmbedContents", _batch(texts, beside)


def _prediction(texts: list[str], parameters: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    settings = {_OWN[name]: value for name, value in own.items()}
    body: dict[str, Any] = {"instances": [{"content": text, **settings} for text in texts]}
    return {**body, "parameters": parameters} if parameters else body


def _content(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def _counted(found: _Embeddings, vectors: list[_Vector]) -> tuple[Usage | None, dict[str, Any] | None]:
    """What was used, and the report of it: one for all, or the sum of those beside the vectors."""
    raw = found.usageMetadata
    if raw is not None:
        return decode_usage(raw), raw
    counts = [count_of((one.statistics or {}).get("token_count")) for one in vectors]
    known = [count for count in counts if count is not None]
    if not known or len(known) < len(counts):
        return None, None
    return Usage(input_tokens=sum(known)), {"token_count": sum(known)}
