"""Answers of `/v1/responses`: what the inside says in the words of chat, said as the Responses API says it. Pure.

One voice a call. Where the provider itself speaks this API its own words are relayed (`relays`); only the last event,
which holds the whole response, waits until the call's event is safe. `body` is the response once it is whole, for those
who keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.api.responses.requests import ResponsesAsked
from gateway.api.responses.translation import custom_tools
from gateway.api.responses.writer import OutputWriter
from gateway.providers.counting import counted, details_in
from gateway.providers.wire import Members
from gateway.shapes import ErrorAnswer

_LAST_EVENTS = (b"response.completed", b"response.incomplete")
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ECHOED = (
    "instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "prompt_cache_key",
    "safety_identifier", "user", "reasoning",
)  # fmt: skip
"""What a response repeats of its request where it was asked."""
_NULLABLE = ("instructions", "max_output_tokens", "max_tool_calls", "previous_response_id")
_AS_A_RULE: Mapping[str, Any] = {
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "truncation": "disabled",
    "metadata": {},
    "text": {"format": {"type": "text"}},
}
"""What it says where the request did not."""


class ResponsesVoice:
    """Speaks to one client of the Responses API. `now`: seconds since 1970; `can_keep`: whether what is to be stored
    can be."""

    def __init__(self, asked: ResponsesAsked, request_id: str, now: Callable[[], int], *, can_keep: bool) -> None:
        self.relays = False
        self.body: bytes | None = None
        digits = request_id.replace("-", "")
        self._digits, self._custom = digits, custom_tools(asked.members)
        self._writer = OutputWriter(digits, self._custom)
        self._response = _begun(asked.members, f"resp_{digits}", now(), asked.is_stored and can_keep)
        self._now = now
        self._sequence = 0
        self._has_begun = False
        self._reason = "stop"
        self._last = b""

    def refusal(self, answer: ErrorAnswer, request_id: str) -> ErrorAnswer:
        """An error: OpenAI's shape is this API's, too."""
        return answer

    def trouble(self, answer: ErrorAnswer, request_id: str) -> bytes:
        """An error in a stream that has begun."""
        error = msgspec.json.decode(answer.body)["error"]
        if self.relays:
            code = error.get("code")
            told = {"code": code if isinstance(code, str) else error.get("reason"), "message": error["message"]}
            return self._event({"type": "error", **told, "param": error.get("param")})
        code = "rate_limit_exceeded" if answer.status == 429 else "server_error"
        said = self._begin({})
        self._writer.finish(is_whole=False)
        said += self._said()
        self._response |= {"status": "failed", "error": {"code": code, "message": error["message"]}}
        return said + self._tell("response.failed")

    def whole(self, body: bytes) -> bytes:
        """A whole answer."""
        if not self.relays:
            told = msgspec.json.decode(body)
            choice = told["choices"][0]
            self._writer = OutputWriter(self._digits, self._custom)  # of one that could not be said nothing may be left
            self._name(told)
            self._writer.take(choice["message"], choice.get("logprobs"))
            self._end(choice["finish_reason"], details_in(told, "usage"))
            body = msgspec.json.encode(self._response)
        self.body = body
        return body

    def events(self, chunks: bytes) -> bytes:
        """What some chunks of a stream say."""
        if self.relays:
            return self._relayed(chunks)
        return b"".join(self._chunk(chunk) for chunk in _read(chunks))

    def end(self, last: bytes) -> bytes:
        """The end of a stream: the response, with what it used."""
        if self.relays:
            self.body = _response_in(self._last)
            return self._last
        chunks = _read(last)
        told = next((chunk for chunk in chunks if chunk.get("usage")), {})
        begun = self._begin(told)
        self._end(self._reason, details_in(told, "usage"))
        self.body = msgspec.json.encode(self._response)
        cost = {"x_tollgate": told["x_tollgate"]} if "x_tollgate" in told else {}
        return begun + self._said() + self._tell(f"response.{self._response['status']}", cost)

    def _relayed(self, events: bytes) -> bytes:
        """Hold back the event that ends the stream: it is the last that came."""
        for name in _LAST_EVENTS:
            start = events.rfind(b"event: " + name + b"\n")
            if start >= 0:
                events, self._last = events[:start], events[start:]
        self._sequence += events.count(b"\n\n")
        return events

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        said = self._begin(chunk)
        for choice in (chunk.get("choices") or ())[:1]:
            self._writer.take(choice.get("delta") or {}, choice.get("logprobs"))
            self._reason = choice.get("finish_reason") or self._reason
        if chunk.get("service_tier") in _TIERS:
            self._response["service_tier"] = chunk["service_tier"]
        return said + self._said()

    def _begin(self, told: Mapping[str, Any]) -> bytes:
        """The beginning, once: clients take nothing before it."""
        if self._has_begun:
            return b""
        self._has_begun = True
        self._name(told)
        return self._tell("response.created") + self._tell("response.in_progress")

    def _name(self, told: Mapping[str, Any]) -> None:
        """Which model answers, and in which tier."""
        self._response["model"] = told.get("model") or self._response["model"]
        if told.get("service_tier") in _TIERS:
            self._response["service_tier"] = told["service_tier"]

    def _end(self, reason: str, usage: Mapping[str, Any]) -> None:
        cut = _INCOMPLETE.get(reason)
        self._writer.finish(is_whole=cut is None)
        self._response |= {
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": cut} if cut else None,
            "completed_at": None if cut else self._now(),
            "output": self._writer.output(),
            "usage": _usage(usage),
        }

    def _said(self) -> bytes:
        return b"".join(self._event(event) for event in self._writer.drain())

    def _tell(self, kind: str, more: Mapping[str, Any] | None = None) -> bytes:
        """An event that holds the response as it stands."""
        self._response["output"] = self._writer.output()
        return self._event({"type": kind, "response": {**self._response, **(more or {})}})

    def _event(self, told: dict[str, Any]) -> bytes:
        kind: str = told["type"]
        numbered = msgspec.json.encode({**told, "sequence_number": self._sequence})
        self._sequence += 1
        return b"event: " + kind.encode() + b"\ndata: " + numbered + b"\n\n"


def _begun(members: Members, response_id: str, created_at: int, is_stored: bool) -> dict[str, Any]:
    """The response before anything has come of it."""
    told: dict[str, Any] = {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "access_programs": None,
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        "store": is_stored,
        "service_tier": "default",
        **dict.fromkeys(_NULLABLE),
    }
    for name in ("model", *_ECHOED, *_AS_A_RULE):
        given = msgspec.json.decode(members[name]) if name in members else None
        if given is not None or name in _AS_A_RULE:
            told[name] = _AS_A_RULE[name] if given is None else given
    told["text"] = {"format": {"type": "text"}, **told["text"]}
    told["tools"] = [_tool(tool) for tool in told["tools"]]
    return told


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as responses repeat it: with what may be left out."""
    if tool.get("type") != "function":
        return dict(tool)
    return {**tool, "parameters": tool.get("parameters"), "strict": bool(tool.get("strict"))}


def _usage(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Usage as the Responses API counts it; what a total alone shows is output."""
    inside, outside = details_in(raw, "prompt_tokens_details"), details_in(raw, "completion_tokens_details")
    given = counted(raw, "prompt_tokens")
    produced = max(counted(raw, "completion_tokens"), counted(raw, "total_tokens") - given)
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": counted(inside, "cached_tokens"),
            "cache_write_tokens": counted(inside, "cache_write_tokens"),
        },
        "output_tokens": produced,
        "output_tokens_details": {"reasoning_tokens": counted(outside, "reasoning_tokens")},
        "total_tokens": given + produced,
    }


def _response_in(event: bytes) -> bytes | None:
    """The response that an event holds, in its bytes."""
    lines = [line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")]
    return bytes(msgspec.json.decode(b"\n".join(lines), type=_Ended).response) if lines else None


class _Ended(msgspec.Struct):
    response: msgspec.Raw


def _read(chunks: bytes) -> list[dict[str, Any]]:
    lines = [event[6:] for event in chunks.split(b"\n\n") if event.startswith(b"data: ")]
    return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]
