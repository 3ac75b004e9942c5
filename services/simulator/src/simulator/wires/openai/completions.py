"""OpenAI's old completions: a prompt is answered as if it had been said in a chat, in the old shape."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.operations import BesideChat, Operation, members_of
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires import EVENT_STREAM, Wire

_AS_THEY_ARE = ("model", "max_tokens", "n", "stop", "stream", "stream_options", "temperature")


class CompletionWire(BesideChat):
    """The wire of a provider of OpenAI's, for `/completions`."""

    stream_type = EVENT_STREAM

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "completions", Operation(_unread, _unwritten))

    def prompt(self, body: bytes) -> Prompt:
        told = members_of(body)
        given = told.get("prompt")
        texts = given if isinstance(given, list) else [given]
        said = [{"role": "user", "content": str(text)} for text in texts]
        chat = {**{name: told[name] for name in _AS_THEY_ARE if name in told}, "messages": said}
        return self._wire.prompt(msgspec.json.encode(chat))

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        told = msgspec.json.decode(self._wire.whole(answer, model, created, directives))
        return msgspec.json.encode(_completed(told, "message"))

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        script = self._wire.script(answer, model, created, wants_usage, directives)
        return msgspec.structs.replace(script, frames=[_frame(frame) for frame in script.frames])


def _unread(_provider: str, _model: str, _body: bytes) -> Prompt:
    raise Refusal(400, "a completion is read by its wire")


def _unwritten(_answer: Answer, _model: str) -> bytes:
    raise Refusal(400, "a completion is written by its wire")


def _frame(frame: bytes) -> bytes:
    told = _completed(msgspec.json.decode(frame.removeprefix(b"data: ")), "delta")
    return b"data: " + msgspec.json.encode(told) + b"\n\n"


def _completed(told: dict[str, Any], said: str) -> dict[str, Any]:
    told["object"] = "text_completion"
    told["choices"] = [
        {
            "text": (choice.get(said) or {}).get("content") or "",
            "index": choice["index"],
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        for choice in told["choices"]
    ]
    return told
