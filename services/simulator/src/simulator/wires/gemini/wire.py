"""Google's two services put together from this folder's parts, as calls use them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.operations import BesideChat
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires import EVENT_STREAM, JSON, Headers, Wire
from simulator.wires.gemini.answers import script_of, whole_answer
from simulator.wires.gemini.operations import VERBS, made_by
from simulator.wires.gemini.requests import count_tokens, read_prompt

MODELS = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-3-flash-preview")
_CALL = re.compile(
    r"/models/(?P<model>[^/:]+):(?P<verb>generateContent|streamGenerateContent|batchEmbedContents|embedContent|predict)"
)
_COUNT = re.compile(r"/models/[^/:]+:countTokens")
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_INVALID_KEY = "API key not valid. Please pass a valid API key."


class GeminiWire:
    """The wire of one of the services, for a call of one model."""

    needs_key = True
    stream_type, whole_type = EVENT_STREAM, JSON

    def __init__(self, provider: str, model: str = "", *, is_streamed: bool = False) -> None:
        self.provider = provider
        self.kept_as = f"{provider} {model} {is_streamed}"
        self._model = model
        self._is_streamed = is_streamed

    def key(self, headers: dict[bytes, bytes]) -> str:
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        token = bearer if scheme.lower() == b"bearer" else b""
        shown = token if self.provider == "vertex" else headers.get(b"x-goog-api-key", b"")
        return shown.strip().decode("latin-1")

    def prompt(self, body: bytes) -> Prompt:
        return read_prompt(self.provider, self._model, body, is_streamed=self._is_streamed)

    def missing(self, model: str) -> Refusal:
        return Refusal(404, f"models/{model} is not found for API version v1beta.")

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        return whole_answer(answer, model, directives)

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        told = self.refusal(Refusal(directives.status or 503, kind=directives.error_type))[1]
        return script_of(answer, model, directives, b"data: " + told + b"\n\n")

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        """The Gemini API says of a bad key that the argument is invalid."""
        status, message = refusal.status, refusal.message or f"HTTP {refusal.status}"
        details: list[dict[str, Any]] = []
        if status == 401 and self.provider == "google":
            status, message = 400, _INVALID_KEY
            kind = "type.googleapis.com/google.rpc.ErrorInfo"
            details.append({"@type": kind, "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
        if refusal.retry_after is not None:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            details.append({"@type": kind, "retryDelay": f"{refusal.retry_after:g}s"})
        error: dict[str, Any] = {
            "code": status,
            "message": message,
            "status": refusal.kind or _STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT"),
        }
        return status, msgspec.json.encode({"error": {**error, "details": details} if details else error})

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        return [(b"server-timing", b"gfet4t7; dur=%d" % milliseconds)]

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        return headers


class GeminiSpeaker:
    """One of the services: its paths, of which those of models are calls."""

    def __init__(self, provider: str, prefixes: tuple[str, ...]) -> None:
        self.prefixes = prefixes
        self.wire: Wire = GeminiWire(provider)

    def call(self, rest: str, headers: dict[bytes, bytes]) -> Wire | None:
        found = _CALL.fullmatch(rest)
        if found is None:
            return None
        model = unquote(found["model"])
        operation = made_by(model) if found["verb"] == "generateContent" else VERBS.get(found["verb"])
        if operation is not None:
            return BesideChat(self.wire, rest, operation, model)
        is_streamed = found["verb"] == "streamGenerateContent"
        return GeminiWire(self.wire.provider, model, is_streamed=is_streamed)

    def listed(self, method: str, rest: str, sent: bytes) -> bytes:
        if method == "POST" and _COUNT.fullmatch(rest):
            return msgspec.json.encode({"totalTokens": count_tokens(sent)})
        if method == "GET" and rest == "/models":
            return msgspec.json.encode({"models": [{"name": f"models/{name}", "displayName": name} for name in MODELS]})
        raise Refusal(404, f"Not found: {rest}")


def google_speakers() -> list[GeminiSpeaker]:
    """The Gemini API, and Vertex, whose real addresses name a project and a place."""
    return [GeminiSpeaker("google", ("/google/v1beta",)), GeminiSpeaker("vertex", ("/vertex/v1", "/vertex"))]
