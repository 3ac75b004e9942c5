"""What tests of streams share: chunks by hand, a decoder fed with cuts, and a stream folded into a whole answer."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from common.providers.registry import PROVIDERS, ProviderRow
from gateway.providers.wires.openai import StreamDecoder

OPENAI = PROVIDERS["openai"]


def chunk(delta: dict[str, Any] | None = None, *, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}
    outer = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **more}
    return event(outer)


def event(members: Any) -> bytes:
    """An object as an event."""
    return b"data: " + json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def decode(
    stream: bytes, *, wants_usage: bool = False, cuts: list[int] | None = None, provider: ProviderRow = OPENAI
) -> tuple[bytes, StreamDecoder]:
    """What a client sees of a stream that comes in the pieces between the cuts, and the decoder at the end of it."""
    decoder = StreamDecoder(provider, wants_usage)
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts or []), len(stream)]
    seen = b""
    for start, end in pairwise(places):
        seen += decoder.feed(stream[start:end])
        if decoder.failure is not None:
            return seen, decoder
    return seen + decoder.finish(), decoder


def shown(events: bytes) -> list[dict[str, Any]]:
    """The chunks that a client reads, as strictly as the strictest of clients."""
    parts = events.split(b"\n\n")
    assert parts.pop() == b""
    assert all(part.startswith(b"data: ") and b"\n" not in part for part in parts)
    return [json.loads(part[6:]) for part in parts]


def fold(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The whole choices that a stream amounts to: content, reasoning, tool calls by index, finish reason."""
    folded: dict[int, dict[str, Any]] = {}
    for one in chunks:
        for choice in one["choices"]:
            whole = folded.setdefault(
                choice["index"], {"content": "", "reasoning": "", "tool_calls": [], "finish_reason": None}
            )
            delta = choice.get("delta") or {}
            whole["content"] += delta.get("content") or ""
            whole["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
            for piece in delta.get("tool_calls") or []:
                _add_call(whole["tool_calls"], piece)
            whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
    return [folded[index] for index in sorted(folded)]


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """As the official clients do it: by index, which must be there or the next."""
    assert 0 <= piece["index"] <= len(calls)
    if piece["index"] == len(calls):
        calls.append({"id": None, "name": None, "arguments": ""})
    call, function = calls[piece["index"]], piece.get("function") or {}
    call["id"] = call["id"] or piece.get("id")
    call["name"] = call["name"] or function.get("name")
    call["arguments"] += function.get("arguments") or ""
