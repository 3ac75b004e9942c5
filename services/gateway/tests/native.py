"""What tests of providers with wires of their own share: a chat request in, chunks out, and both folded alike."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
from common.providers.registry import PROVIDERS, ProviderRow
from common.providers.registry import Wire as WireName
from gateway.providers.languages import WIRES
from gateway.providers.wire import Outgoing, StreamDecoder
from wire_streams import shown

CREATED = 1_790_000_000
_LISTS = ("reasoning_details", "provider_blocks", "annotations", "images")
_TEXTS = ("content", "reasoning_content", "refusal")


def encode(
    provider: str | ProviderRow, request: dict[str, Any], model: str, *, most: int = 4000, streamed: bool = False
) -> Outgoing:
    """A chat request as a provider gets it."""
    row = PROVIDERS[provider] if isinstance(provider, str) else provider
    members = msgspec.json.decode(json.dumps(request).encode(), type=dict[str, msgspec.Raw])
    return WIRES[row.wire].encode_request(members, row, model, most, streamed)


def asked(provider: str, messages: list[dict[str, Any]], model: str, **members: Any) -> dict[str, Any]:
    """The body that a provider gets for messages."""
    body = encode(provider, {"model": "any", "messages": messages, **members}, model).body
    found: dict[str, Any] = json.loads(body)
    return found


def decoded(
    provider: ProviderRow,
    stream: bytes,
    *,
    cuts: list[int] | None = None,
    wants_usage: bool = False,
    wire: WireName | None = None,
) -> tuple[bytes, StreamDecoder]:
    """What a client sees of a stream that comes in the pieces between the cuts, and the decoder at the end of it."""
    decoder = WIRES[wire or provider.wire].decode_stream(provider, wants_usage, CREATED, "asked")
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts or []), len(stream)]
    seen = b""
    for start, end in pairwise(places):
        seen += decoder.feed(stream[start:end])
        if decoder.failure is not None:
            return seen, decoder
    return seen + decoder.finish(), decoder


def folded(events: bytes) -> dict[str, Any]:
    """The message that a stream amounts to, with its finish reason."""
    message: dict[str, Any] = {}
    for chunk in shown(events):
        for choice in chunk["choices"]:
            _fold(message, choice["delta"])
            message["finish_reason"] = choice["finish_reason"] or message.get("finish_reason")
    return message


def told(body: bytes) -> dict[str, Any]:
    """The message of a whole answer, in the same form."""
    choice = json.loads(body)["choices"][0]
    message: dict[str, Any] = {}
    calls = [{"index": index, **call} for index, call in enumerate(choice["message"].get("tool_calls") or ())]
    _fold(message, {**choice["message"], "tool_calls": calls})
    return {**message, "finish_reason": choice["finish_reason"]}


def _fold(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name in _TEXTS and value:
            message[name] = message.get(name, "") + value
        elif name in _LISTS and value:
            message[name] = message.get(name, []) + value
        elif name == "tool_calls":
            for piece in value:
                _add(message.setdefault("tool_calls", []), piece)


def _add(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """As the official clients do it: by index, which must be there or the next."""
    assert 0 <= piece["index"] <= len(calls)
    function = piece.get("function") or {}
    if piece["index"] == len(calls):
        assert piece["id"]
        assert function["name"]
        calls.append({**piece, "function": {**function, "arguments": ""}})
    calls[piece["index"]]["function"]["arguments"] += function.get("arguments") or ""
