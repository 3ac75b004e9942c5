"""Embeddings of the `openai` wire: the request passes, and the answer too, unless its vectors come in another spelling
than the client asked for."""

from __future__ import annotations

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import ProviderFailed
from gateway.providers.vectors import in_base64, of_base64, wants_base64
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.openai.failures import NULL
from gateway.providers.wires.openai.requests import with_model
from gateway.providers.wires.openai.usage import decode_usage, report_in


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: msgspec.Raw = NULL
    model: str | None = None


_read = msgspec.json.Decoder(_Embeddings).decode


def encode(members: Members, _provider: ProviderRow, model: str) -> Outgoing:
    """The client's own request, under the provider's name of the model."""
    return Outgoing("/embeddings", with_model(members, model))


def decode(body: bytes, members: Members, provider: ProviderRow, _created: int, _model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is none."""
    try:
        found = _read(body)
        beginnings, wanted = {bytes(one.embedding)[:1] for one in found.data}, wants_base64(members)
        if beginnings - {b'"' if wanted else b"["}:
            body = _respelled(body, wanted=wanted)
        raw = report_in(found.usage)
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no embeddings") from error
    return Answer(body, decode_usage(raw) if raw is not None else None, raw, None, found.model, None)


def _respelled(body: bytes, *, wanted: bool) -> bytes:
    """The answer with its vectors in base64, or as numbers."""
    told = msgspec.json.decode(body)
    for one in told["data"]:
        vector = one["embedding"]
        if wanted and isinstance(vector, list):
            one["embedding"] = in_base64(vector)
        elif not wanted and isinstance(vector, str):
            one["embedding"] = of_base64(vector)
        elif not isinstance(vector, list | str):
            raise TypeError("a vector is a list of numbers, or base64")
    return msgspec.json.encode(told)
