"""One provider of OpenAI's wire, put together from this folder's parts, as calls use it."""

from __future__ import annotations

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires import EVENT_STREAM, JSON
from simulator.wires.openai.errors import error_body, status_of
from simulator.wires.openai.headers import Headers, call_headers, provider_headers, refusal_headers
from simulator.wires.openai.requests import model_missing, read_prompt
from simulator.wires.openai.rows import Row
from simulator.wires.openai.stream import StreamWriter
from simulator.wires.openai.whole import whole_answer


class OpenAIWire:
    """The wire of `row`'s provider."""

    def __init__(self, row: Row, streams: StreamWriter) -> None:
        self._row = row
        self._streams = streams
        self._headers = provider_headers(row)
        self.provider = self.kept_as = row.name
        self.stream_type, self.whole_type = EVENT_STREAM, JSON
        self.needs_key = row.needs_key

    def key(self, headers: dict[bytes, bytes]) -> str:
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            key = headers.get(b"api-key", b"") if self._row.name == "azure" else b""
        return key.strip().decode("latin-1")

    def prompt(self, body: bytes) -> Prompt:
        return read_prompt(self._row, body)

    def missing(self, model: str) -> Refusal:
        return model_missing(model)

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        return whole_answer(self._row, answer, model, created, directives)

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        return self._streams.script(self._row, answer, model, created, wants_usage, directives)

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        return status_of(self._row, refusal), error_body(self._row, refusal)

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        return call_headers(self._row, call_id, milliseconds) + self._headers

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        return refusal_headers(headers, refusal.status, refusal.retry_after)
