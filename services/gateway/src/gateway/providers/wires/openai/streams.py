"""Streams of the `openai` wire: relayed as they come, but for what would mislead a client."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.counting import estimate_tokens
from gateway.providers.errors import ProviderFailed
from gateway.providers.framing import EVENT_END, EventSplitter, EventTooLarge, event_of
from gateway.providers.wire import Identity
from gateway.providers.wires.openai.answers import BROKEN_FINISHES, FINISH_REASONS, SERVICE_TIERS, finish_of, tier_of
from gateway.providers.wires.openai.failures import NO_ERRORS, NULL, decode_error
from gateway.providers.wires.openai.parts import join_parts, size_of
from gateway.providers.wires.openai.plain import PlainChunks, Run
from gateway.providers.wires.openai.usage import decode_usage, report_in


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    text: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    service_tier: str | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_FIRST_EVENTS = 4
"""So many are taken one by one before the rest of a piece may be a run: a stream begins with a role, then texts follow."""
_BRACKET = ord("[")
_NULL_USAGES = (b',"usage":null', b', "usage": null')


class StreamDecoder:
    """From a provider's bytes to the client's, chunk by chunk, and what the whole amounts to.

    `feed` gives the events that the client should see, ready to send; usage is kept back, since the gateway sends it
    itself, last, to those who asked. `[DONE]` is kept back, too: it is sent once the call's event is safe.
    """

    def __init__(self, provider: ProviderRow, wants_usage: bool, _created: int = 0, _model: str = "") -> None:
        self._provider = provider
        self._wants_usage = wants_usage
        self._events = EventSplitter()
        self._plain = PlainChunks()
        self._tools: dict[int, _ToolIndexes] = {}
        self._finished: dict[int, str | None] = {}
        self.is_done = False
        self.raw_usage: dict[str, Any] | None = None
        self.first: _Chunk | None = None
        self.service_tier: str | None = None
        self.content_bytes = 0
        self.pieces = 0
        self.failure: ProviderFailed | None = None

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return finish_of(self._finished.get(0))

    @property
    def identity(self) -> Identity:
        """What all chunks of the stream carry."""
        first = self.first
        return (first.id, int(first.created or 0), first.model) if first is not None else (None, None, None)

    def feed(self, piece: bytes) -> bytes:
        """Events for the client. Where the stream breaks or holds an error, those before it; `failure` then says so."""
        told = b""
        for _ in range(_FIRST_EVENTS):
            run = None if self.is_done or self._events.has_begun() else self._plain.read_run(piece)
            if run is not None:
                return told + self._count(run) + self._read_all(run[3])
            first, end, piece = piece.partition(EVENT_END)
            told += self._read_all(first + end)
            if not piece or self.failure is not None:
                return told
        return told + self._read_all(piece)

    def read_plain(self, piece: bytes) -> bytes:
        """`feed` for a piece that is known chunks and nothing else; b"", with nothing done, for any other."""
        if self.is_done or self.failure is not None or self._events.has_begun():
            return b""
        run = self._plain.read_run(piece)
        return b"" if run is None or run[3] else self._count(run)

    def finish(self) -> bytes:
        """The last events; `failure` is set when the stream ended before the answer did."""
        last = self._take(self._events.finish())
        has_ended = all(reason is not None for reason in self._finished.values())
        if self.failure is None and not (self._finished and (self.is_done or has_ended)):
            self.failure = self._broken("ended the stream before the answer was whole")
        return last

    def delivered_tokens(self) -> int:
        """Output tokens seen so far, estimated."""
        return estimate_tokens(self.content_bytes, self.pieces)

    def usage(self) -> Usage | None:
        """What the provider reported."""
        return decode_usage(self.raw_usage) if self.raw_usage is not None else None

    def _count(self, run: Run) -> bytes:
        """Known chunks as the client gets them."""
        events, characters, texts, _ = run
        self.content_bytes += characters
        self.pieces += texts
        return events

    def _read_all(self, piece: bytes) -> bytes:
        try:
            return self._take(self._events.feed(piece)) if piece else b""
        except EventTooLarge:
            self.failure = self._broken("sent an event without end")
            return b""

    def _take(self, events: list[tuple[bytes, bytes]]) -> bytes:
        taken: list[bytes] = []
        try:
            for name, data in events:
                run = None if name or self.is_done else self._plain.read_run(event_of(data))
                taken.append(self._event(name, data) if run is None else self._count(run))
        except ProviderFailed as failure:
            self.failure = failure
        except (ValueError, RecursionError):
            self.failure = self._broken("sent a chunk that is no JSON")
        return b"".join(taken)

    def _event(self, name: bytes, data: bytes) -> bytes:
        if self.is_done or not data:
            return b""
        if data[0] == _BRACKET and data.strip() == b"[DONE]":
            self.is_done = True
            return b""
        chunk = _decode_chunk(data)
        has_usage = data.find(b'"usage"') >= 0
        reported = report_in(chunk.usage) if has_usage else None
        if reported is not None:
            self.raw_usage = reported
        if name == b"error" or (data.find(b'"error"') >= 0 and bytes(chunk.error) not in NO_ERRORS):
            raise decode_error(502, data, self._provider, None)
        if chunk.service_tier is not None:  # the last that is named is the one that was used
            self.service_tier = chunk.service_tier
        if not chunk.choices:  # usage, or a filter's findings, which clients that index choices[0] stumble over
            return b""
        if self.first is None:
            self.first = chunk
        must_rewrite = reported is not None or (chunk.service_tier or "default") not in SERVICE_TIERS
        for choice in chunk.choices:
            must_rewrite |= self._read_choice(choice)
        if must_rewrite:
            return self._told(self._rewrite(data, chunk))
        if not has_usage:
            event = self._told(data.rstrip()[:-1] + b',"usage":null}' if self._wants_usage else data)
        else:
            event = self._told(data if self._wants_usage else self._without_null_usage(data, chunk))
        if not name and (text := _only_text(chunk)):
            self._plain.learn(data, event, text)
        return event

    @staticmethod
    def _told(data: bytes) -> bytes:
        """A chunk as an event for the client."""
        if data.find(b"\n") >= 0:  # it came in several `data` lines
            data = msgspec.json.format(data, indent=-1)
        return event_of(data)

    def _read_choice(self, choice: _Choice) -> bool:
        """Count what a choice brings; whether it must be rewritten for the client."""
        must_rewrite = False
        if choice.finish_reason is None:
            self._finished.setdefault(choice.index, None)
        else:
            if choice.finish_reason in BROKEN_FINISHES:
                raise self._broken("broke off the answer")
            self._finished[choice.index] = choice.finish_reason
            must_rewrite = choice.finish_reason not in FINISH_REASONS
        delta = choice.delta
        if delta is None:
            if choice.text:  # of a completion
                self.content_bytes += len(choice.text)
                self.pieces += 1
            return must_rewrite
        size = size_of(delta.content)
        if delta.reasoning_content or delta.reasoning or delta.refusal:
            # Some send the same reasoning under both of its names.
            size += max(size_of(delta.reasoning_content), size_of(delta.reasoning)) + size_of(delta.refusal)
        must_rewrite |= isinstance(delta.content, list)
        if delta.tool_calls:
            tools = self._tools.setdefault(choice.index, _ToolIndexes())
            for call in delta.tool_calls:
                dense = tools.index_of(call)
                must_rewrite |= dense != call.index
                call.index = dense
                size += len(call.function.arguments or "") + len(call.function.name or "") if call.function else 0
        if size:
            self.content_bytes += size
            self.pieces += 1
        return must_rewrite

    def _rewrite(self, data: bytes, chunk: _Chunk) -> bytes:
        """A chunk with dense tool indexes, known finish reasons, content in one text, and no usage of its own."""
        whole = msgspec.json.decode(data)
        whole.pop("usage", None)
        if "service_tier" in whole:
            whole["service_tier"] = tier_of(whole["service_tier"])
        if self._wants_usage:
            whole["usage"] = None
        for choice, read in zip(whole["choices"], chunk.choices, strict=True):
            if choice.get("finish_reason") is not None:
                choice["finish_reason"] = finish_of(choice["finish_reason"])
            delta, calls = choice.get("delta") or {}, read.delta.tool_calls if read.delta else None
            join_parts(delta)
            for call, seen in zip(delta.get("tool_calls") or (), calls or (), strict=True):
                call["index"] = seen.index
        return msgspec.json.encode(whole)

    def _without_null_usage(self, data: bytes, chunk: _Chunk) -> bytes:
        for spelling in _NULL_USAGES:
            if spelling in data:
                return data.replace(spelling, b"")
        return self._rewrite(data, chunk)

    def _broken(self, how: str) -> ProviderFailed:
        return ProviderFailed("broken", f"{self._provider.display_name} {how}")


def _only_text(chunk: _Chunk) -> str | None:
    """The text of a chunk that brings one and nothing else; empty where it begins a stream."""
    choice = chunk.choices[0]
    delta = choice.delta
    if len(chunk.choices) > 1 or choice.finish_reason is not None or delta is None or delta.tool_calls:
        return None
    if delta.reasoning_content or delta.reasoning or delta.refusal or not isinstance(delta.content, str):
        return None
    return delta.content


class _ToolIndexes:
    """Dense indexes for the tool calls of one choice, in the order in which they appear.

    Some providers number from elsewhere, leave gaps, or send 0 for all; a call's first piece has an id that no earlier
    one had, and that is what counts.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int | None, int] = {}
        self._count = 0

    def index_of(self, call: _ToolCall) -> int:
        is_first = bool(call.id) and call.id not in self._by_id
        if is_first or (not call.id and call.index not in self._by_index):
            dense = self._count
            self._count += 1
        else:
            dense = self._by_id[call.id] if call.id else self._by_index[call.index]
        if call.id:
            self._by_id[call.id] = dense
        self._by_index[call.index] = dense
        return dense
