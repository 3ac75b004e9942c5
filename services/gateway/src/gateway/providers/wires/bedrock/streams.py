"""Streams of the `bedrock` wire: frames about numbered content blocks, as chunks of a chat completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import ChatStream
from gateway.providers.errors import ProviderFailed
from gateway.providers.wires.bedrock.answers import answer_id, tier_of
from gateway.providers.wires.bedrock.blocks import BROKEN_FINISHES, cited, finish_of, opened, thought_through
from gateway.providers.wires.bedrock.failures import exception_in_stream
from gateway.providers.wires.bedrock.frames import BrokenFrame, FrameSplitter
from gateway.providers.wires.bedrock.usage import decode_usage


class StreamDecoder(ChatStream):
    """Reads one stream; the tool calls and the thinking that are not closed yet are its state."""

    def __init__(self, provider: ProviderRow, wants_usage: bool, created: int, model: str) -> None:
        super().__init__(provider.display_name, created, model, wants_usage=wants_usage)
        self._row = provider
        self._frames = FrameSplitter()
        self._calls: dict[int, int] = {}
        self._argued: set[int] = set()
        self._thoughts: dict[int, dict[str, str]] = {}
        self._readers: dict[bytes, Callable[[dict[str, Any]], bytes]] = {
            b"contentBlockStart": self._start,
            b"contentBlockDelta": self._delta,
            b"contentBlockStop": self._stop,
            b"messageStop": self._end,
            b"metadata": self._measure,
        }

    def feed(self, piece: bytes) -> bytes:
        """Events for the client; `failure` where the stream breaks or holds an exception."""
        taken: list[bytes] = []
        try:
            for name, payload in self._frames.feed(piece):
                if not self.is_done:
                    taken.append(self._frame(name, payload))
        except ValueError as error:
            how = "sent a damaged frame" if isinstance(error, BrokenFrame) else "sent a frame that cannot be read"
            self.failure = self.failure or self.broken(how)
        except (RecursionError, KeyError, TypeError, AttributeError):
            self.failure = self.broken("sent a frame that cannot be read")
        except ProviderFailed as failure:
            self.failure = failure
        return b"".join(taken)

    def usage(self) -> Usage | None:
        """What the provider reported."""
        return decode_usage(self.raw_usage) if self.raw_usage is not None else None

    def read_event(self, name: bytes, told: Any) -> bytes:
        """The chunks for one frame; unknown ones are passed over."""
        read = self._readers.get(name)
        return read(told) if read is not None else b""

    def _frame(self, name: bytes, payload: bytes) -> bytes:
        if name.startswith(b"!"):
            raise exception_in_stream(name[1:].decode("ascii", "replace"), payload, self._row)
        if not self.answer_id:
            self.answer_id = answer_id(payload, self.created)
        if name == b"messageStart":
            return self.opening()
        return self.read_event(name, msgspec.json.decode(payload))

    def _start(self, told: dict[str, Any]) -> bytes:
        used = (told.get("start") or {}).get("toolUse")
        if used is None:
            return b""
        number = self._calls[told["contentBlockIndex"]] = len(self._calls)
        self.count(used["name"])
        return self.chunk(opened(used, number, ""))

    def _delta(self, told: dict[str, Any]) -> bytes:
        index, delta = told["contentBlockIndex"], told["delta"]
        if "text" in delta:
            self.count(delta["text"])
            return self.chunk({"content": delta["text"]}) if delta["text"] else b""
        if "toolUse" in delta:
            return self._argue(self._calls[index], delta["toolUse"].get("input") or "")
        if "reasoningContent" in delta:
            return self._think(index, delta["reasoningContent"])
        if "citation" in delta:
            return self.chunk(cited(delta["citation"]))
        return self.chunk({"provider_blocks": [delta]})

    def _argue(self, number: int, piece: str) -> bytes:
        if not piece:
            return b""
        self._argued.add(number)
        self.count(piece)
        return self.chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})

    def _think(self, index: int, piece: dict[str, Any]) -> bytes:
        thought = self._thoughts.setdefault(index, {"text": "", "signature": "", "redactedContent": ""})
        for name in thought:
            thought[name] += piece.get(name) or ""
        text = piece.get("text") or ""
        self.count(text)
        return self.chunk({"reasoning_content": text}) if text else b""

    def _stop(self, told: dict[str, Any]) -> bytes:
        """What could only be said at a block's end: a signature, arguments that never came."""
        index = told["contentBlockIndex"]
        if index in self._calls:
            number = self._calls[index]
            return b"" if number in self._argued else self._argue(number, "{}")
        thought = self._thoughts.pop(index, None)
        if thought is None:
            return b""
        said = thought_through(thought["text"], thought["signature"], thought["redactedContent"], self.model)
        return self.chunk(said) if said else b""

    def _end(self, told: dict[str, Any]) -> bytes:
        if told["stopReason"] in BROKEN_FINISHES:
            raise self.broken("broke off the answer")
        self.finished = finish_of(told["stopReason"])
        return self.chunk({}, self.finished)

    def _measure(self, told: dict[str, Any]) -> bytes:
        if isinstance(told.get("usage"), dict):
            self.raw_usage = told["usage"]
        self.service_tier = tier_of(told)
        self.is_done = self.finished is not None
        return b""
