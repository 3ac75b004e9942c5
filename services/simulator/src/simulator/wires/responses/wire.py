"""The Responses API put together from this folder's parts, for one call; and what it answers beside calls."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.prompts import Prompt
from simulator.refusals import Refusal, as_described
from simulator.streams import StreamScript
from simulator.turns import Turn
from simulator.wires import EVENT_STREAM, JSON, Headers, Wire
from simulator.wires.responses.answers import ResponseWriter
from simulator.wires.responses.requests import ENCRYPTED, Asked, Heard, decoded, heard, prompt_in
from simulator.wires.responses.shelf import Kept, Shelf

PATH = "/responses"


class ResponsesWire:
    """One call of a provider whose other ways are `chat`'s; it is its own call's, since a response has its own id."""

    needs_key: bool
    kept_as = ""

    def __init__(self, chat: Wire, shelf: Shelf, *, stores: bool, compacts: bool = False) -> None:
        self._chat = chat
        self._shelf = shelf
        self._stores = stores
        self._compacts = compacts
        self._asked = Asked(model="")
        self._heard = Heard([], set())
        self.provider = chat.provider
        self.needs_key = chat.needs_key
        self.stream_type = EVENT_STREAM
        self.whole_type = JSON

    def key(self, headers: dict[bytes, bytes]) -> str:
        return self._chat.key(headers)

    def prompt(self, body: bytes) -> Prompt:
        self._asked = decoded(body)
        with as_described():
            self._heard = heard(self._asked, self._shelf)
        return prompt_in(self._asked, self._heard, self.provider)

    def missing(self, model: str) -> Refusal:
        return self._chat.missing(model)

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        told = self._writer(answer, model, created).whole(directives)
        if self._compacts:
            return msgspec.json.encode(_compacted(told))
        self._keep(told)
        return msgspec.json.encode(told)

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        writer = self._writer(answer, model, created)
        frames = writer.frames(directives)
        self._keep(writer.whole(directives))
        usage_at = None if directives.no_usage else len(frames) - 1
        error = writer.error("The server had an error.", directives.code or "server_error")
        return StreamScript(b"", [frame for frame, _ in frames], [tokens for _, tokens in frames], usage_at, b"", error)

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        return self._chat.refusal(refusal)

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        return self._chat.headers(call_id, milliseconds)

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        return self._chat.refusal_headers(headers, refusal)

    def _writer(self, answer: Answer, model: str, created: int) -> ResponseWriter:
        return ResponseWriter(self._asked, answer, model, created, stores=self._stores)

    def _keep(self, told: dict[str, Any]) -> None:
        if not told["store"]:
            return
        calls = [item for item in told["output"] if item["type"].endswith("call")]
        texts = [part["text"] for item in told["output"] for part in item.get("content") or ()]
        turn = Turn("assistant", "\n".join(texts), calls=tuple(item["name"] for item in calls))
        known = self._heard.calls | {item["call_id"] for item in calls}
        self._shelf.put(Kept(told, self._asked.items, (*self._heard.turns, turn), frozenset(known)))


def _compacted(told: dict[str, Any]) -> dict[str, Any]:
    """The conversation in a form that only the provider could read."""
    item = {
        "id": told["id"].replace("resp_", "cmp_"),
        "type": "compaction",
        "encrypted_content": ENCRYPTED + told["id"],
    }
    kept = {name: told[name] for name in ("id", "created_at", "usage")}
    return {**kept, "object": "response.compaction", "output": [item]}


def stored(shelf: Shelf, method: str, rest: str) -> bytes:
    """What is answered about a stored response. Raises Refusal."""
    response_id, _, what = rest.removeprefix(f"{PATH}/").partition("/")
    kept = shelf.take(response_id) if (method, what) == ("DELETE", "") else shelf.get(response_id)
    if kept is None or what not in ("", "input_items"):
        message = f"Response with id '{response_id}' not found."
        raise Refusal(404, message, kind="invalid_request_error")
    if method == "DELETE":
        return msgspec.json.encode({"id": response_id, "object": "response", "deleted": True})
    if not what:
        return msgspec.json.encode(kept.body)
    items = [_listed(item, number) for number, item in enumerate(kept.items)]
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"object": "list", "data": items, **ends, "has_more": False})


def _listed(item: dict[str, Any], number: int) -> dict[str, Any]:
    content = item.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    told = {"id": f"msg_{number}", "type": "message", **item}
    return {**told, "content": parts} if parts is not None else told


def counted(shelf: Shelf, provider: str, sent: bytes) -> bytes:
    """How many input tokens a request has. Raises Refusal."""
    asked = decoded(sent)
    with as_described():
        told = heard(asked, shelf)
    prompt = prompt_in(asked, told, provider)
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": prompt.prompt_tokens})
