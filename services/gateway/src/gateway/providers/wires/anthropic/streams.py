"""Streams of the `anthropic` wire: named events about numbered content blocks, as chunks of a chat completion."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import ChatStream
from gateway.providers.wires.anthropic.blocks import closing, finish_of, refusal_in, spoken
from gateway.providers.wires.anthropic.failures import failure_of
from gateway.providers.wires.anthropic.usage import decode_usage, merged, tier_in

_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""What grows by each kind of delta."""


class StreamDecoder(ChatStream):
    """Reads one stream; the blocks that are open are its state."""

    def __init__(self, provider: ProviderRow, wants_usage: bool, created: int, model: str) -> None:
        super().__init__(provider.display_name, created, model, wants_usage=wants_usage)
        self._row = provider
        self._open: dict[int, dict[str, Any]] = {}
        self._arguments: dict[int, str] = {}
        self._calls: dict[int, int] = {}
        self._text = 0

    def usage(self) -> Usage | None:
        """What the provider reported. A stream that broke off reported its input alone: its output is estimated."""
        usage = decode_usage(self.raw_usage) if self.raw_usage is not None else None
        if usage is None or self.finished is not None:
            return usage
        return msgspec.structs.replace(
            usage, output_tokens=max(usage.output_tokens, self.delivered_tokens()), estimated=True
        )

    def read_event(self, name: bytes, told: Any) -> bytes:
        """The chunks for one event; an unknown one is passed over, as the API asks its clients to."""
        kind = told.get("type")
        if kind == "content_block_delta":
            return self._grow(told["index"], told["delta"])
        if kind == "content_block_start":
            return self._start(told["index"], told["content_block"])
        if kind == "content_block_stop":
            return self._close(told["index"])
        if kind == "message_start":
            self._begin(told["message"])
        elif kind == "message_delta":
            return self._end(told)
        elif kind == "message_stop":
            self.is_done = True
        elif kind == "error":
            raise failure_of(told.get("error") or {}, self._row)
        return b""

    def _begin(self, message: dict[str, Any]) -> None:
        """Nothing is shown yet: overload is often told right after the beginning, and another may answer then."""
        self.answer_id, self.model = message.get("id") or "", message.get("model") or self.model
        if isinstance(message.get("usage"), dict):
            self.raw_usage = message["usage"]
            self.service_tier = tier_in(self.raw_usage)

    def _start(self, index: int, block: dict[str, Any]) -> bytes:
        self._open[index] = block
        kind = block.get("type")
        if kind == "tool_use":
            number = self._calls[index] = len(self._calls)
            opening = spoken({**block, "input": {}}, number)["tool_calls"]
            opening[0]["function"]["arguments"] = ""
            self.count(block["name"])
            return self.chunk({"tool_calls": opening})
        if kind in ("text", "thinking") and block.get(kind):
            return self._say(block, kind, block[kind])
        return b""

    def _grow(self, index: int, delta: dict[str, Any]) -> bytes:
        block, kind = self._open[index], delta.get("type")
        if kind == "input_json_delta":
            return self._argue(index, delta.get("partial_json") or "")
        if kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
            return b""
        member = _GROWING.get(kind or "")
        if member is None:
            return b""
        piece = delta.get(member) or ""
        block[member] = (block.get(member) or "") + piece
        return self._say(block, member, piece) if member != "signature" else b""

    def _argue(self, index: int, piece: str) -> bytes:
        self._arguments[index] = self._arguments.get(index, "") + piece
        if index not in self._calls or not piece:
            return b""
        self.count(piece)
        return self.chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})

    def _close(self, index: int) -> bytes:
        """What could only be said at a block's end: its signature, its citations, arguments that never came."""
        block, arguments = self._open.pop(index), self._arguments.pop(index, "")
        if index in self._calls:
            whole = spoken(block, self._calls[index])["tool_calls"][0]["function"]["arguments"]
            return b"" if arguments else self._argue(index, whole)
        if arguments:
            block["input"] = _parsed(arguments)
        length = len(block.get("text") or "") if block.get("type") == "text" else 0
        told = closing(block, self._text - length)
        return self.chunk(told) if told else b""

    def _end(self, told: dict[str, Any]) -> bytes:
        if isinstance(told.get("usage"), dict):
            self.raw_usage = merged(self.raw_usage, told["usage"])
        delta = told.get("delta") or {}
        reason = delta.get("stop_reason")
        if not isinstance(reason, str):
            return b""
        self.finished = finish_of(reason)
        why = refusal_in(delta.get("stop_details"))
        return self.chunk({"refusal": why} if why else {}, self.finished)

    def _say(self, block: dict[str, Any], member: str, piece: str) -> bytes:
        if not piece:
            return b""
        self.count(piece)
        self._text += len(piece) if member == "text" else 0
        return self.chunk(spoken({"type": block["type"], member: piece}, 0))


def _parsed(arguments: str) -> Any:
    return msgspec.json.decode(arguments)
