"""Answers of `/v1/messages`: what the inside says in the words of chat, said as Anthropic says it. Pure.

One voice a call. Where the provider itself speaks Anthropic's wire its own words are relayed (`relays`), and only what the
gateway adds, refusals and the end of a stream, is said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.providers.counting import counted, details_in
from gateway.shapes import ErrorAnswer

_KINDS: Mapping[int, str] = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        405: "not_found_error",
        409: "invalid_request_error",
        413: "request_too_large",
        422: "invalid_request_error",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "gateway_timeout_error",
        529: "overloaded_error",
    }
)
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use"}
_STOP: dict[str, Any] = {"type": "message_stop"}


class MessagesVoice:
    """Speaks to one client of Anthropic's API."""

    __slots__ = ("_blocks", "_call", "_open", "_reason", "relays")

    def __init__(self) -> None:
        self.relays = False
        self._blocks = 0
        self._open: str | None = None
        self._call = -1
        self._reason = "end_turn"

    def refusal(self, answer: ErrorAnswer, request_id: str) -> ErrorAnswer:
        """An error in Anthropic's shape."""
        return message_error(answer, request_id)

    def trouble(self, answer: ErrorAnswer, request_id: str) -> bytes:
        """An error in a stream that has begun."""
        return _event(_error(answer, request_id))

    def whole(self, body: bytes) -> bytes:
        """A whole answer."""
        if self.relays:
            return body
        told = msgspec.json.decode(body)
        message, choice = _message(told), told["choices"][0]
        message["content"] = _blocks(choice["message"])
        message["stop_reason"] = _reason(choice["finish_reason"])
        message["usage"] = _usage(details_in(told, "usage"))
        return msgspec.json.encode(message)

    def events(self, chunks: bytes) -> bytes:
        """What some chunks of a stream say."""
        return chunks if self.relays else b"".join(self._chunk(chunk) for chunk in _read(chunks))

    def end(self, last: bytes) -> bytes:
        """The end of a stream: why it ended, what it used, and that it is over."""
        if self.relays:
            return _event(_STOP)
        begun = self._chunk({"choices": []}) if self._open is None else b""
        usage: dict[str, Any] = next((chunk["usage"] for chunk in _read(last) if chunk.get("usage")), {})
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        ended = _event({"type": "message_delta", "delta": delta, "usage": _usage(usage)})
        return begun + self._close() + ended + _event(_STOP)

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        told = []
        if not self._blocks and self._open is None:
            self._open = ""
            told.append(_event({"type": "message_start", "message": {**_message(chunk), "usage": _usage({})}}))
        for choice in (chunk.get("choices") or ())[:1]:
            delta = choice.get("delta") or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if isinstance(thought, str) and thought:
                told.append(self._grow("thinking", {"type": "thinking_delta", "thinking": thought}))
            if text := delta.get("content") or delta.get("refusal"):
                told.append(self._grow("text", {"type": "text_delta", "text": text}))
            told += [self._argue(call) for call in delta.get("tool_calls") or ()]
            if choice.get("finish_reason"):
                self._reason = _reason(choice["finish_reason"])
        return b"".join(told)

    def _grow(self, kind: str, delta: dict[str, Any]) -> bytes:
        opening = b""
        if self._open != kind:
            block = {"type": "text", "text": ""} if kind == "text" else _thought("")
            opening = self._close() + self._begin(kind, block)
        return opening + _event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _argue(self, call: dict[str, Any]) -> bytes:
        function, opening = call.get("function") or {}, b""
        if call["index"] != self._call:
            self._call = call["index"]
            block = {"type": "tool_use", "id": call.get("id") or "", "name": function.get("name") or ""}
            opening = self._close() + self._begin("tool_use", {**block, "input": {}})
        pieces = function.get("arguments") or ""
        if not pieces:
            return opening
        delta = {"type": "input_json_delta", "partial_json": pieces}
        return opening + _event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _begin(self, kind: str, block: dict[str, Any]) -> bytes:
        self._open = kind
        self._blocks += 1
        return _event({"type": "content_block_start", "index": self._blocks - 1, "content_block": block})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event({"type": "content_block_stop", "index": self._blocks - 1})


def message_error(answer: ErrorAnswer, request_id: str) -> ErrorAnswer:
    """An error in Anthropic's shape; status and headers stay."""
    return ErrorAnswer(answer.status, answer.headers, msgspec.json.encode(_error(answer, request_id)))


def _message(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{told.get('id') or ''}",
        "type": "message",
        "role": "assistant",
        "model": told.get("model") or "",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str) and thought:
        told.append(_thought(thought))
    if text := message.get("content") or message.get("refusal"):
        told.append({"type": "text", "text": text})
    return told + [_tool_use(call) for call in message.get("tool_calls") or ()]


def _tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _object(function["arguments"])}


def _thought(text: str) -> dict[str, Any]:
    """What was thought; another provider's thoughts have no signature that Anthropic would know."""
    return {"type": "thinking", "thinking": text, "signature": ""}


def _object(arguments: str) -> Any:
    """A call's arguments; those that broke off are no JSON, and stand as they came."""
    try:
        return msgspec.json.decode(arguments or "{}")
    except (ValueError, RecursionError):
        return {"arguments": arguments}


def _reason(finish: str) -> str:
    return "refusal" if finish == "content_filter" else _REASONS.get(finish, "end_turn")


def _usage(raw: Mapping[str, Any]) -> dict[str, int]:
    """Usage as Anthropic counts: input leaves out what the cache gave or took."""
    inside = details_in(raw, "prompt_tokens_details")
    read, written = counted(inside, "cached_tokens"), counted(inside, "cache_write_tokens")
    return {
        "input_tokens": max(0, counted(raw, "prompt_tokens") - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": counted(raw, "completion_tokens"),
    }


def _error(answer: ErrorAnswer, request_id: str) -> dict[str, Any]:
    told = msgspec.json.decode(answer.body)["error"]
    kind = _KINDS.get(answer.status, "api_error" if answer.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": told["message"]}, "request_id": request_id}


def _read(chunks: bytes) -> list[dict[str, Any]]:
    lines = [event[6:] for event in chunks.split(b"\n\n") if event.startswith(b"data: ")]
    return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]


def _event(told: dict[str, Any]) -> bytes:
    kind: str = told["type"]
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(told) + b"\n\n"
