"""Anthropic put together from this folder's parts, as calls use it."""

from __future__ import annotations

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires import EVENT_STREAM, JSON, Headers, Wire
from simulator.wires.anthropic.answers import script_of, whole_answer
from simulator.wires.anthropic.requests import OLD_VERSION, PROVIDER, VERSIONS, count_tokens, invalid, read_prompt

MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-6", "claude-3-5-haiku-20241022")
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "gateway_timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {401: "invalid x-api-key", 429: "This request would exceed the rate limit.", 529: "Overloaded"}
_LIMITS = [
    (b"anthropic-ratelimit-requests-limit", b"4000"),
    (b"anthropic-ratelimit-requests-remaining", b"3999"),
    (b"anthropic-ratelimit-requests-reset", b"2030-01-01T00:00:00Z"),
]


class AnthropicWire:
    """The wire, in one of its versions."""

    provider = PROVIDER
    needs_key = True
    stream_type, whole_type = EVENT_STREAM, JSON

    def __init__(self, version: bytes = OLD_VERSION) -> None:
        self._version = version
        self.kept_as = f"{PROVIDER} {version.decode()}"

    def key(self, headers: dict[bytes, bytes]) -> str:
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        return (headers.get(b"x-api-key") or (bearer if scheme.lower() == b"bearer" else b"")).strip().decode("latin-1")

    def prompt(self, body: bytes) -> Prompt:
        return read_prompt(body, self._version)

    def missing(self, model: str) -> Refusal:
        return Refusal(404, f"model: {model}")

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        return whole_answer(answer, model, directives)

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        told = Refusal(directives.status or 529, kind=directives.error_type)
        return script_of(answer, model, directives, b"event: error\ndata: " + self.refusal(told)[1] + b"\n\n")

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        kind = refusal.kind or _KINDS.get(refusal.status, "api_error" if refusal.status >= 500 else _KINDS[400])
        message = refusal.message or _MESSAGES.get(refusal.status, f"HTTP {refusal.status}")
        told = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulated"}
        return refusal.status, msgspec.json.encode(told)

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        return [(b"request-id", call_id.encode()), *_LIMITS]

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        wait = [] if refusal.retry_after is None else [(b"retry-after", f"{refusal.retry_after:g}".encode())]
        return [*headers, *wait, (b"x-should-retry", b"true" if refusal.status in (429, 529) else b"false")]


class AnthropicSpeaker:
    """Anthropic's paths: which of them are calls, and what the others answer."""

    prefixes = ("/anthropic/v1",)

    def __init__(self) -> None:
        self.wire: Wire = AnthropicWire()
        self._versions = {version: AnthropicWire(version) for version in VERSIONS}

    def call(self, rest: str, headers: dict[bytes, bytes]) -> Wire | None:
        """The wire for a call of this path."""
        if rest != "/messages":
            return None
        return self._versions.get(headers.get(b"anthropic-version", b""), _Unversioned())

    def listed(self, method: str, rest: str, sent: bytes) -> bytes:
        """What is answered without a model: lists and counts. Raises Refusal."""
        if rest == "/messages/count_tokens" and method == "POST":
            return msgspec.json.encode({"input_tokens": count_tokens(sent)})
        listed = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in MODELS
        ]
        if rest == "/models" and method == "GET":
            return msgspec.json.encode(
                {"data": listed, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
            )
        raise Refusal(404, f"Not found: {rest}")


class _Unversioned(AnthropicWire):
    """What a request gets whose version is missing or unknown."""

    def __init__(self) -> None:
        super().__init__(b"unknown")

    def prompt(self, body: bytes) -> Prompt:
        raise invalid("anthropic-version: header is required")
