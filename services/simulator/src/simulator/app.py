"""The ASGI application: which path is whose, for providers, control routes and probes.

A plain ASGI callable with one dictionary of exact paths, because benchmarks run it beside what they measure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from simulator.calls import JSON, Calls
from simulator.connection import Connection, Receive, Send
from simulator.control import Control
from simulator.journal import Journal
from simulator.keys import Keys
from simulator.refusals import Refusal
from simulator.wires.openai.models import model_body, models_body
from simulator.wires.openai.rows import Row
from simulator.wires.openai.wire import OpenAIWire


class Room(NamedTuple):
    """A provider under one of its prefixes."""

    row: Row
    wire: OpenAIWire


class Simulator:
    """The ASGI callable."""

    def __init__(
        self,
        calls: Calls,
        control: Control,
        journal: Journal,
        keys: Keys,
        wires: list[Room],
        strangers: Callable[[str], Room | None],
    ) -> None:
        self._calls = calls
        self._control = control
        self._journal = journal
        self._keys = keys
        self._strangers = strangers
        self._prefixes = {prefix: room for room in wires for prefix in room.row.prefixes}
        self._chats = {f"{prefix}/chat/completions": room.wire for prefix, room in self._prefixes.items()}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._live(receive, send)
            return
        connection = Connection(scope, receive, send)
        wire = self._chats.get(scope["path"])
        if wire is not None and scope["method"] == "POST":
            await self._calls.answer(wire, connection)
            return
        room, rest = self._room(scope["path"])
        if room is None:
            room, rest = self._stranger(scope["path"])
        if room is not None and scope["method"] == "POST" and rest == "/chat/completions":
            await self._calls.answer(room.wire, connection)
        elif room is None:
            await self._control.answer(scope["method"], scope["path"], scope["query_string"], connection)
        else:
            await self._answer_other(room, scope["method"], rest, connection)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end: opens the journal, and closes it when the last call is through."""
        await receive()
        self._journal.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._journal.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _room(self, path: str) -> tuple[Room | None, str]:
        """The provider that owns the longest prefix of `path`, and the rest of it."""
        prefix = path
        while prefix:
            room = self._prefixes.get(prefix)
            if room is not None:
                return room, path[len(prefix) :]
            prefix = prefix.rpartition("/")[0]
        return None, path

    def _stranger(self, path: str) -> tuple[Room | None, str]:
        """A provider without a row of its own, by its name in the path: it speaks the wire as most do."""
        for rest in ("/chat/completions", "/models"):
            prefix, found, after = path.partition(rest)
            if found and (not after or rest == "/models"):
                return self._strangers(prefix.lstrip("/").partition("/")[0]), rest + after
        return None, path

    async def _answer_other(self, room: Room, method: str, rest: str, connection: Connection) -> None:
        """What a provider answers beside calls: its models, and its complaint about any other path."""
        try:
            await connection.read_body()
            self._keys.check(room.wire.key(dict(connection.headers)), is_needed=room.row.needs_key)
            status, body = 200, _listed(room.row, method, rest)
        except Refusal as refusal:
            status, body = room.wire.refusal(refusal)
        await connection.whole(status, room.wire.headers("req_simulated", 1), JSON, body)


def _listed(row: Row, method: str, rest: str) -> bytes:
    """The body of a listing. Raises Refusal."""
    if rest == "/chat/completions" or (rest.startswith("/models") and method not in ("GET", "HEAD")):
        raise Refusal(405, f"Method {method} is not allowed here.", kind="invalid_request_error")
    if rest == "/models":
        return models_body(row)
    if rest == "/key" and row.name == "openrouter":
        return msgspec.json.encode({"data": {"label": "simulated", "limit": None, "usage": 0, "is_free_tier": False}})
    name = rest.removeprefix("/models/")
    body = model_body(row, name) if name != rest else None
    if body is None:
        known = ("model_not_found", f"The model `{name}` does not exist.") if name != rest else ("unknown_url", "")
        message = known[1] or f"Invalid URL ({method} {rest})."
        raise Refusal(404, message, kind="invalid_request_error", code=known[0])
    return body
