"""A provider of OpenAI's wire as the application sees it: its paths, and what it lists."""

from __future__ import annotations

import msgspec

from simulator.operations import BesideChat
from simulator.refusals import Refusal
from simulator.wires import Wire
from simulator.wires.openai.completions import CompletionWire
from simulator.wires.openai.models import model_body, models_body
from simulator.wires.openai.operations import OPERATIONS
from simulator.wires.openai.rows import Row
from simulator.wires.openai.stream import StreamWriter
from simulator.wires.openai.wire import OpenAIWire
from simulator.wires.responses.shelf import Shelf
from simulator.wires.responses.wire import PATH as RESPONSES
from simulator.wires.responses.wire import ResponsesWire, counted, stored


class OpenAISpeaker:
    """The provider of a row."""

    def __init__(self, row: Row, streams: StreamWriter) -> None:
        self._row = row
        self._chat: Wire = OpenAIWire(row, streams)
        self._shelf = Shelf()
        self.prefixes = row.prefixes

    @property
    def wire(self) -> Wire:
        return self._chat

    def call(self, rest: str, headers: dict[bytes, bytes]) -> Wire | None:
        if rest == "/chat/completions":
            return self._chat
        if rest in (RESPONSES, f"{RESPONSES}/compact") and self._row.responses != "none":
            stores = self._row.responses == "stored"
            return ResponsesWire(self._chat, self._shelf, stores=stores, compacts=rest != RESPONSES)
        if rest == "/completions":
            return CompletionWire(self._chat)
        return BesideChat(self._chat, rest, OPERATIONS[rest]) if rest in OPERATIONS else None

    def listed(self, method: str, rest: str, sent: bytes) -> bytes:
        row = self._row
        if rest == "/chat/completions" or (rest.startswith("/models") and method not in ("GET", "HEAD")):
            raise Refusal(405, f"Method {method} is not allowed here.", kind="invalid_request_error")
        if rest == f"{RESPONSES}/input_tokens" and method == "POST" and row.responses != "none":
            return counted(self._shelf, row.name, sent)
        if rest.startswith(f"{RESPONSES}/") and row.responses != "none":
            return stored(self._shelf, method, rest)
        if rest == "/models":
            return models_body(row)
        if rest == "/key" and row.name == "openrouter":
            return msgspec.json.encode(
                {"data": {"label": "simulated", "limit": None, "usage": 0, "is_free_tier": False}}
            )
        name = rest.removeprefix("/models/")
        body = model_body(row, name) if name != rest else None
        if body is None:
            known = ("model_not_found", f"The model `{name}` does not exist.") if name != rest else ("unknown_url", "")
            message = known[1] or f"Invalid URL ({method} {rest})."
            raise Refusal(404, message, kind="invalid_request_error", code=known[0])
        return body
