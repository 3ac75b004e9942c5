"""Streams of the `cohere` wire: typed events, as chunks of a chat completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import ChatStream
from gateway.providers.wires.cohere.parts import BROKEN_FINISHES, called, cited, finish_of, spoken
from gateway.providers.wires.cohere.usage import decode_usage


class StreamDecoder(ChatStream):
    """Reads one stream; which tool calls there were, and whether they have arguments, is its state."""

    def __init__(self, provider: ProviderRow, wants_usage: bool, created: int, model: str) -> None:
        super().__init__(provider.display_name, created, model, wants_usage=wants_usage)
        self._calls: dict[int, int] = {}
        self._argued: set[int] = set()
        self._readers: dict[str, Callable[[dict[str, Any]], bytes]] = {
            "message-start": self._begin,
            "content-start": self._content,
            "content-delta": self._content,
            "tool-plan-delta": self._plan,
            "tool-call-start": self._call,
            "tool-call-delta": self._argue,
            "tool-call-end": self._call_ended,
            "citation-start": self._cite,
            "message-end": self._end,
        }

    def usage(self) -> Usage | None:
        """What the provider reported."""
        return decode_usage(self.raw_usage) if self.raw_usage is not None else None

    def read_event(self, name: bytes, told: Any) -> bytes:
        """The chunks for one event; unknown ones are passed over."""
        read = self._readers.get(told.get("type") or name.decode("ascii", "replace"))
        return read(told) if read is not None else b""

    def _begin(self, told: dict[str, Any]) -> bytes:
        self.answer_id = f"chatcmpl-{told.get('id') or ''}"
        return self.opening()

    def _content(self, told: dict[str, Any]) -> bytes:
        part = _message(told).get("content") or {}
        self.count(part.get("text") or part.get("thinking") or "")
        said = spoken(part)
        return self.chunk(said) if said else b""

    def _plan(self, told: dict[str, Any]) -> bytes:
        piece = _message(told).get("tool_plan") or ""
        self.count(piece)
        return self.chunk({"content": piece}) if piece else b""

    def _call(self, told: dict[str, Any]) -> bytes:
        call = _message(told)["tool_calls"]
        number = self._calls[told["index"]] = len(self._calls)
        if call["function"].get("arguments"):
            self._argued.add(number)
        self.count(call["function"]["name"])
        return self.chunk(called(call, number))

    def _argue(self, told: dict[str, Any]) -> bytes:
        piece = _message(told)["tool_calls"]["function"].get("arguments") or ""
        return self._arguments(self._calls[told["index"]], piece)

    def _call_ended(self, told: dict[str, Any]) -> bytes:
        number = self._calls[told["index"]]
        return b"" if number in self._argued else self._arguments(number, "{}")

    def _arguments(self, number: int, piece: str) -> bytes:
        if not piece:
            return b""
        self._argued.add(number)
        self.count(piece)
        return self.chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})

    def _cite(self, told: dict[str, Any]) -> bytes:
        citation = _message(told).get("citations")
        return self.chunk(cited(citation)) if citation else b""

    def _end(self, told: dict[str, Any]) -> bytes:
        delta = told.get("delta") or {}
        if isinstance(delta.get("usage"), dict):
            self.raw_usage = delta["usage"]
        reason = delta["finish_reason"]
        if reason in BROKEN_FINISHES:
            raise self.broken("broke off the answer")
        self.finished = finish_of(reason)
        self.is_done = True
        return self.chunk({}, self.finished)


def _message(told: dict[str, Any]) -> dict[str, Any]:
    message = (told.get("delta") or {}).get("message")
    return message if isinstance(message, dict) else {}
