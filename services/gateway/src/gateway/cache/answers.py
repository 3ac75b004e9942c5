"""An answer as its client got it, taken down while it is sent, so that it can be given again byte for byte.

Taking down happens where messages leave for the server, so it is the same for every door, whole answers and streams.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec

from gateway.api.client import Client, Send
from gateway.cache.sealed import MAX_ENTRY_BYTES
from gateway.shapes import Header

_PIECE_BYTES = 64 * 1024
_COST = re.compile(rb'"x_tollgate":\{"cost_usd":"[0-9.]+"')
_COST_HEADER = b"x-tollgate-cost-usd"
# What belongs to the call that made an answer, and not to the answer.
_OF_ITS_CALL = (b"x-request-id", b"x-ratelimit-", b"x-tollgate-cache")
# What belongs to the page that asked and not to the answer.
_OF_ITS_PAGE = (b"access-control-", b"vary")


class Answer(msgspec.Struct, frozen=True):
    """A kept answer. `fingerprint` is of the request that it answered."""

    fingerprint: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def encode(self) -> bytes:
        """As bytes, to be kept."""
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(kept: bytes) -> Answer | None:
        """Read one; None when an earlier release wrote it otherwise."""
        try:
            return msgspec.msgpack.decode(kept, type=Answer)
        except msgspec.DecodeError:
            return None

    async def give(self, client: Client, added: Header) -> None:
        """Send it again, under the request id that it had."""
        of_this_page = [header for header in client.extra_headers if header[0].startswith(_OF_ITS_PAGE)]
        await client.begin(self.status, [*self.headers, added, *of_this_page])
        await _write(client, self.body)

    async def give_anew(self, client: Client, added: Sequence[Header]) -> None:
        """Send it as the answer to another call, which has cost nothing."""
        kept = [
            (name, b"0" if name == _COST_HEADER else value)
            for name, value in self.headers
            if not name.startswith(_OF_ITS_CALL)
        ]
        is_whole = any(name == b"content-length" for name, _ in kept)
        body = self.body if is_whole else _COST.sub(b'"x_tollgate":{"cost_usd":"0"', self.body)
        await client.begin(self.status, [*kept, *added, *client.extra_headers])
        await _write(client, body)


async def _write(client: Client, body: bytes) -> None:
    for start in range(0, len(body), _PIECE_BYTES):
        await client.write(body[start : start + _PIECE_BYTES])
    await client.end()


class Recording:
    """Stands between a client and the server, and takes down what passes. `before_end` is awaited before the last part
    is handed on: what must have happened when the client sees the end of its answer."""

    def __init__(self, send: Send, before_end: Callable[[Recording], Awaitable[None]]) -> None:
        self._send = send
        self._before_end = before_end
        self._status = 0
        self._headers: list[Header] = []
        self._pieces: list[bytes] = []
        self._size = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Take down one message and hand it on."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
        else:
            self._take_down(message.get("body", b""))
            if not message.get("more_body"):
                await self._before_end(self)
        await self._send(message)

    def answer(self, fingerprint: str) -> Answer | None:
        """What was sent; None when it was too large to be kept."""
        if self._size > MAX_ENTRY_BYTES:
            return None
        kept = [header for header in self._headers if not header[0].startswith(_OF_ITS_PAGE)]
        return Answer(fingerprint, self._status, kept, b"".join(self._pieces))

    def _take_down(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_ENTRY_BYTES:
            self._pieces.clear()
        elif body:
            self._pieces.append(body)
