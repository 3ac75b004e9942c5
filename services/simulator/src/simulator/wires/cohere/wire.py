"""Cohere, put together from this folder's parts."""

from __future__ import annotations

import math

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.operations import BesideChat
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires import EVENT_STREAM, JSON, Headers, Wire
from simulator.wires.cohere.answers import script_of, whole_answer
from simulator.wires.cohere.operations import OPERATIONS
from simulator.wires.cohere.requests import read_prompt

MODELS = ("command-a-03-2025", "command-r-plus-08-2024", "command-r7b-12-2024")
_WORDS = {
    401: "invalid api token",
    429: "You are using a Trial key, which is limited to 20 API calls / minute.",
    500: "internal server error",
    503: "the service is overloaded",
}


class CohereWire:
    """Cohere's chat."""

    provider = kept_as = "cohere"
    needs_key = True
    stream_type, whole_type = EVENT_STREAM, JSON

    def key(self, headers: dict[bytes, bytes]) -> str:
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        return key.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""

    def prompt(self, body: bytes) -> Prompt:
        return read_prompt(body)

    def missing(self, model: str) -> Refusal:
        return Refusal(404, f"model '{model}' not found, make sure the correct model ID was used")

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        return whole_answer(answer, directives)

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        return script_of(answer, directives, Refusal(directives.status or 500, "internal error"))

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        words = refusal.message or _WORDS.get(refusal.status, f"the request failed ({refusal.status})")
        told = {"id": "00000000-0000-0000-0000-000000000000", "message": words}
        if refusal.code == "context_length_exceeded":
            told |= {
                "message": "too many tokens: the total is longer than the model's context",
                "error_type": "TOO_MANY_TOKENS",
            }
        return refusal.status, msgspec.json.encode(told)

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        return [(b"x-debug-trace-id", call_id.encode()), (b"x-trial-endpoint-call-limit", b"20")]

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        after = refusal.retry_after
        return headers if after is None else [*headers, (b"retry-after", b"%d" % math.ceil(after))]


class CohereSpeaker:
    """Cohere's paths."""

    prefixes = ("/cohere",)

    def __init__(self) -> None:
        self._wire: Wire = CohereWire()

    @property
    def wire(self) -> Wire:
        return self._wire

    def call(self, rest: str, headers: dict[bytes, bytes]) -> Wire | None:
        if rest in OPERATIONS:
            return BesideChat(self._wire, rest, OPERATIONS[rest])
        return self._wire if rest == "/v2/chat" else None

    def listed(self, method: str, rest: str, sent: bytes) -> bytes:
        if rest != "/v1/models" or method not in ("GET", "HEAD"):
            raise Refusal(404, f"path {rest} not found")
        return msgspec.json.encode({"models": [{"name": name, "endpoints": ["chat"]} for name in MODELS]})
