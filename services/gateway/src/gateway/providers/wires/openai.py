"""The `openai` wire: chat completions as OpenAI and most others speak them.

Clients of the gateway speak it, too, so what they sent goes through: members are not re-encoded, only those that the
gateway must set are put in their place (`encode_request`), and answers are relayed as they came but for what would
mislead a client. Five verbs, as in every wire; `StreamDecoder` is the only state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from common.providers.registry import MAX_TOKENS_ONLY, NO_STREAM_OPTIONS, ProviderRow
from common.usage import Usage

from gateway.providers.errors import ProviderFailed, class_of_status
from gateway.providers.framing import EventSplitter, EventTooLarge

CHAT_PATH = "/chat/completions"

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_FINISH_SPELLINGS = {"eos": "stop", "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length"}
_OWN_MEMBERS = frozenset({"drop_params"})
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")

# Providers that stream token by token send short pieces; then pieces count tokens better than bytes do.
_TOKEN_PIECE_BYTES = 12
_LIKELY_BYTES_PER_TOKEN = 4

Members = Mapping[str, msgspec.Raw]
"""The members of a JSON object by name, each value as the bytes it came in."""


# --- requests ------------------------------------------------------------------------------------------------------


def encode_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> bytes:
    """The body for a provider: the client's members in their order, with `model`, the output maximum and (streamed)
    `stream_options.include_usage` set."""
    limit_name = "max_tokens" if MAX_TOKENS_ONLY in provider.flags else "max_completion_tokens"
    replaced: dict[str, bytes] = {"model": msgspec.json.encode(model), limit_name: b"%d" % output_tokens}
    if streamed and NO_STREAM_OPTIONS not in provider.flags:
        replaced["stream_options"] = _with_usage(members.get("stream_options"))
    left_out = {*_OWN_MEMBERS, *_OUTPUT_LIMITS, "stream_options"}
    parts = [
        b"%b:%b" % (msgspec.json.encode(name), replaced.pop(name, bytes(value)))
        for name, value in members.items()
        if name in replaced or name not in left_out
    ]
    parts += [b'"%b":%b' % (name.encode(), value) for name, value in replaced.items()]
    return b"{" + b",".join(parts) + b"}"


def _with_usage(options: msgspec.Raw | None) -> bytes:
    if options is None:
        return b'{"include_usage":true}'
    given = msgspec.json.decode(options)
    return msgspec.json.encode({**(given if isinstance(given, dict) else {}), "include_usage": True})


_NULL = msgspec.Raw(b"null")  # msgspec takes no union with Raw, so absence is a null
_NO_ERRORS = (b"null", b"{}", b"false", b'""')


# --- whole answers -------------------------------------------------------------------------------------------------


class _WholeChoice(msgspec.Struct):
    message: msgspec.Raw
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_WholeChoice] = []
    usage: msgspec.Raw = _NULL
    model: str | None = None
    service_tier: str | None = None
    error: msgspec.Raw = _NULL


_decode_whole = msgspec.json.Decoder(_Whole).decode


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: the body for the client, and what it says of itself."""

    body: bytes
    usage: Usage | None
    raw_usage: dict[str, Any] | None
    finish_reason: str | None
    model: str | None
    service_tier: str | None


def decode_response(body: bytes, provider: ProviderRow) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no chat completion, or an error in one's place."""
    try:
        whole = _decode_whole(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no chat completion") from error
    if bytes(whole.error) not in _NO_ERRORS:
        raise decode_error(502, body, provider, None)
    if not whole.choices or any(choice.finish_reason is None for choice in whole.choices):
        raise ProviderFailed("broken", f"{provider.display_name} sent an incomplete answer")
    if any(choice.finish_reason not in FINISH_REASONS for choice in whole.choices):
        body = _respell_finish(body)
    raw = _object(whole.usage)
    return Answer(
        body=body,
        usage=decode_usage(raw) if raw is not None else None,
        raw_usage=raw,
        finish_reason=finish_of(whole.choices[0].finish_reason),
        model=whole.model,
        service_tier=whole.service_tier,
    )


def finish_of(reason: str | None) -> str | None:
    """A finish reason as clients know it; an unknown one is an ordinary stop."""
    if reason is None or reason in FINISH_REASONS:
        return reason
    return _FINISH_SPELLINGS.get(reason, "stop")


def _respell_finish(body: bytes) -> bytes:
    whole = msgspec.json.decode(body)
    for choice in whole["choices"]:
        choice["finish_reason"] = finish_of(choice.get("finish_reason"))
    return msgspec.json.encode(whole)


# --- usage ---------------------------------------------------------------------------------------------------------


def decode_usage(raw: Mapping[str, Any]) -> Usage | None:
    """A usage report as disjoint buckets whose sum is the provider's total; None for what is no report.

    Tokens that only the total shows (reasoning of some providers, audio of others) are found by the difference. What
    contradicts itself is clamped: no bucket is ever negative.
    """
    prompt, completion = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    inside, outside = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    audio_in, reasoning = _count(inside.get("audio_tokens")) or 0, _count(outside.get("reasoning_tokens")) or 0
    unexplained = max(0, (_count(raw.get("total_tokens")) or 0) - prompt - completion)
    if unexplained and unexplained == audio_in:
        prompt += unexplained
    elif unexplained:
        completion += unexplained
        reasoning = max(reasoning, unexplained)
    cached = min(_cached(raw, inside), prompt)
    written = min(_count(inside.get("cache_write_tokens")) or 0, prompt - cached)
    audio_in = min(audio_in, prompt - cached - written)
    reasoning = min(reasoning, completion)
    audio_out = min(_count(outside.get("audio_tokens")) or 0, completion - reasoning)
    return Usage(
        input_tokens=prompt - cached - written - audio_in,
        cached_input_tokens=cached,
        cache_write_5m_tokens=written,
        output_tokens=completion - reasoning - audio_out,
        reasoning_tokens=reasoning,
        audio_input_tokens=audio_in,
        audio_output_tokens=audio_out,
    )


def estimate_tokens(content_bytes: int, pieces: int) -> int:
    """Output tokens of what was delivered, where the provider reported none."""
    if pieces and content_bytes <= pieces * _TOKEN_PIECE_BYTES:
        return pieces
    return -(-content_bytes // _LIKELY_BYTES_PER_TOKEN)


def _cached(raw: Mapping[str, Any], inside: Mapping[str, Any]) -> int:
    for value in (inside.get("cached_tokens"), raw.get("prompt_cache_hit_tokens"), raw.get("cached_tokens")):
        if count := _count(value):
            return count
    return 0


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return max(0, int(value))


def _details(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def _object(raw: msgspec.Raw) -> dict[str, Any] | None:
    if bytes(raw) == b"null":
        return None
    found = msgspec.json.decode(raw)
    return found if isinstance(found, dict) else None


# --- errors --------------------------------------------------------------------------------------------------------


def decode_error(status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None) -> ProviderFailed:
    """A provider's refusal, whatever its shape: `{"error": {…}}`, `{"error": "…"}`, `{"message"}`, `{"detail"}`, HTML."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        found = None
    error = found.get("error", found) if isinstance(found, dict) else found
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        error = {}
    code = error.get("code")
    if status == 502 and isinstance(code, int) and 400 <= code < 600:
        status = code  # an error in place of a 200 answer names its own status
    return ProviderFailed(
        class_of_status(status),
        _text(error.get("message")) or _text(error.get("detail")) or f"{provider.display_name} answered {status}",
        status=status,
        error_type=_text(error.get("type")),
        param=_text(error.get("param")),
        code=_text(code),
        retry_after_ms=retry_after_ms,
    )


def _text(value: Any) -> str | None:
    return value[:2000] if isinstance(value, str) and value else None


# --- streams -------------------------------------------------------------------------------------------------------


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    id: str | None = None
    created: int | None = None
    model: str | None = None
    service_tier: str | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_NULL_USAGES = (b',"usage":null', b', "usage": null', b',"usage": null')


class StreamDecoder:
    """From a provider's bytes to the client's, chunk by chunk, and what the whole amounts to.

    `feed` gives the events that the client should see, ready to send; usage is kept back, since the gateway sends it
    itself, last, to those who asked. `[DONE]` is kept back, too: it is sent once the call's event is safe.
    """

    def __init__(self, provider: ProviderRow, wants_usage: bool) -> None:
        self._provider = provider
        self._wants_usage = wants_usage
        self._events = EventSplitter()
        self._tools: dict[int, _ToolIndexes] = {}
        self._finished: dict[int, str | None] = {}
        self._is_done = False
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

    def feed(self, piece: bytes) -> bytes:
        """Events for the client. Where the stream breaks or holds an error, those before it; `failure` then says so."""
        try:
            return self._take(self._events.feed(piece))
        except EventTooLarge:
            self.failure = ProviderFailed("broken", f"{self._provider.display_name} sent an event without end")
            return b""

    def finish(self) -> bytes:
        """The last events; `failure` is set when the stream ended before the answer did."""
        last = self._take(self._events.finish())
        has_ended = bool(self._finished) and all(reason is not None for reason in self._finished.values())
        if not (self._is_done or has_ended or self.failure):
            name = self._provider.display_name
            self.failure = ProviderFailed("broken", f"{name} ended the stream before the answer was whole")
        return last

    def delivered_tokens(self) -> int:
        """Output tokens seen so far, estimated."""
        return estimate_tokens(self.content_bytes, self.pieces)

    def usage(self) -> Usage | None:
        """What the provider reported."""
        return decode_usage(self.raw_usage) if self.raw_usage is not None else None

    def _take(self, events: list[tuple[bytes, bytes]]) -> bytes:
        taken: list[bytes] = []
        try:
            for name, data in events:
                taken.append(self._event(name, data))
        except ProviderFailed as failure:
            self.failure = failure
        return b"".join(taken)

    def _event(self, name: bytes, data: bytes) -> bytes:
        if self._is_done or not data:
            return b""
        if data.strip() == b"[DONE]":
            self._is_done = True
            return b""
        try:
            chunk = _decode_chunk(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProviderFailed("broken", f"{self._provider.display_name} sent a chunk that is no JSON") from error
        if name == b"error" or bytes(chunk.error) not in _NO_ERRORS:
            raise decode_error(502, data, self._provider, None)
        if self.first is None and chunk.choices:
            self.first = chunk
        reported = _object(chunk.usage)
        if reported is not None:
            self.raw_usage = reported
        if chunk.service_tier is not None:
            self.service_tier = chunk.service_tier
        if not chunk.choices:  # usage, or a filter's findings, which clients that index choices[0] stumble over
            return b""
        changes = [change for choice in chunk.choices if (change := self._read_choice(choice))]
        if changes or reported is not None:
            data = self._rewrite(data, chunk)
        elif not self._wants_usage and b'"usage"' in data:
            data = self._without_null_usage(data, chunk)
        return b"data: " + data + b"\n\n"

    def _read_choice(self, choice: _Choice) -> bool:
        """Count what a choice brings; whether it must be rewritten for the client."""
        must_rewrite = False
        self._finished.setdefault(choice.index, None)
        if choice.finish_reason is not None:
            self._finished[choice.index] = choice.finish_reason
            must_rewrite = choice.finish_reason not in FINISH_REASONS
        delta = choice.delta
        if delta is None:
            return must_rewrite
        size = _size(delta.content) + len(delta.reasoning_content or "") + len(delta.refusal or "")
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
        """A chunk with dense tool indexes, known finish reasons, and no usage of its own."""
        whole = msgspec.json.decode(data)
        whole.pop("usage", None)
        if self._wants_usage:
            whole["usage"] = None
        for choice, read in zip(whole["choices"], chunk.choices, strict=True):
            if choice.get("finish_reason") is not None:
                choice["finish_reason"] = finish_of(choice["finish_reason"])
            calls = read.delta.tool_calls if read.delta else None
            for call, seen in zip((choice.get("delta") or {}).get("tool_calls") or (), calls or (), strict=True):
                call["index"] = seen.index
        return msgspec.json.encode(whole)

    def _without_null_usage(self, data: bytes, chunk: _Chunk) -> bytes:
        for spelling in _NULL_USAGES:
            if spelling in data:
                return data.replace(spelling, b"")
        return self._rewrite(data, chunk)


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


def _size(content: str | list[Any] | None) -> int:
    if isinstance(content, str):
        return len(content)
    if not content:
        return 0
    return sum(len(str(part.get("text") or part.get("thinking") or "")) for part in content if isinstance(part, dict))
