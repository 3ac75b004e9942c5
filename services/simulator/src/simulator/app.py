"""The ASGI application: which path is whose, for providers, control routes and probes.

A plain ASGI callable with one dictionary of exact paths, because benchmarks run it beside what they measure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.bills import Bills
from simulator.calls import Calls
from simulator.connection import Connection, Receive, Send
from simulator.control import Control
from simulator.journal import Journal
from simulator.keys import Keys
from simulator.recordings import Recordings
from simulator.refusals import Refusal
from simulator.wires import JSON, Speaker

CHAT = "/chat/completions"


class Simulator:
    """The ASGI callable."""

    def __init__(
        self,
        calls: Calls,
        control: Control,
        journal: Journal,
        keys: Keys,
        recordings: Recordings,
        bills: Bills,
        speakers: list[Speaker],
        strangers: Callable[[str], Speaker | None],
    ) -> None:
        self._calls = calls
        self._control = control
        self._journal = journal
        self._keys = keys
        self._recordings = recordings
        self._bills = bills
        self._strangers = strangers
        self._prefixes = {prefix: speaker for speaker in speakers for prefix in speaker.prefixes}
        self._chats = {
            f"{prefix}{CHAT}": wire for prefix, speaker in self._prefixes.items() if (wire := speaker.call(CHAT, {}))
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._live(receive, send)
            return
        connection = Connection(scope, receive, send)
        wire = self._chats.get(scope["path"])
        if wire is not None and scope["method"] == "POST":
            await self._calls.answer(wire, connection)
            return
        speaker, rest = self._speaker(scope["path"])
        if speaker is None:
            speaker, rest = self._stranger(scope["path"])
        if speaker is None:
            await self._control.answer(scope["method"], scope["path"], scope["query_string"], connection)
        elif scope["method"] == "POST" and (wire := speaker.call(rest, dict(connection.headers))) is not None:
            await self._calls.answer(wire, connection)
        else:
            await self._answer_other(speaker, scope, rest, connection)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end: opens the journal, and closes it when the last call is through."""
        await receive()
        self._journal.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._journal.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _speaker(self, path: str) -> tuple[Speaker | None, str]:
        """The provider that owns the longest prefix of `path`, and the rest of it."""
        prefix = path
        while prefix:
            speaker = self._prefixes.get(prefix)
            if speaker is not None:
                return speaker, path[len(prefix) :]
            prefix = prefix.rpartition("/")[0]
        return None, path

    def _stranger(self, path: str) -> tuple[Speaker | None, str]:
        """A provider without a row of its own, by its name in the path: it speaks the wire as most do."""
        for rest in (CHAT, "/models"):
            prefix, found, after = path.partition(rest)
            if found and (not after or rest == "/models"):
                return self._strangers(prefix.lstrip("/").partition("/")[0]), rest + after
        return None, path

    async def _answer_other(self, speaker: Speaker, scope: dict[str, Any], rest: str, connection: Connection) -> None:
        """What a provider answers beside calls: its models, its bills, and its complaint about any other path."""
        wire, method = speaker.wire, scope["method"]
        try:
            sent = await connection.read_body()
            self._keys.check(wire.key(dict(connection.headers)), is_needed=wire.needs_key)
            if (recorded := self._recordings.find(wire.provider, connection.path, sent)) is not None:
                headers = wire.headers("req_simulated", 1)
                await connection.whole(recorded.status, headers, recorded.content_type, recorded.body)
                return
            bill = self._bills.find(method, connection.path, scope["query_string"])
            status, body = 200, bill if bill is not None else speaker.listed(method, rest, sent)
        except Refusal as refusal:
            status, body = wire.refusal(refusal)
        await connection.whole(status, wire.headers("req_simulated", 1), JSON, body)
