"""The client of one call, over ASGI: its body in, our answer out, and the moment it hangs up.

uvicorn does not cancel a handler whose client has gone; it says so to whoever asks. `watch` asks, for as long as a
provider is working for this client, and cancels that work, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from gateway.shapes import ErrorAnswer, Header, Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON: Header = (b"content-type", b"application/json")


class ClientGone(Exception):
    """The client hung up."""


class Client:
    """One request's client."""

    __slots__ = ("_receive", "_send", "_watcher", "extra_headers", "headers", "is_gone", "path", "request_id", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path: str = scope["path"]
        self.request_id = request_id
        self.extra_headers: list[Header] = [(b"x-request-id", request_id.encode())]
        self.is_gone = False
        self.status = 0

    async def body(self, max_bytes: int, seconds: float) -> bytes:
        """The whole body. Raises Refusal when it is too large or too slow, ClientGone when it never comes."""
        announced = self.headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > max_bytes:
            raise Refusal("request_too_large", str(max_bytes))
        pieces, size = [], 0
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()  # nearly always all of it
                if not message.get("more_body") and message["type"] == "http.request":
                    return _bounded(message.get("body", b""), max_bytes)
                while True:
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    pieces.append(_bounded(message.get("body", b""), max_bytes, size))
                    size += len(pieces[-1])
                    if not message.get("more_body"):
                        return b"".join(pieces)
                    message = await self._receive()
        except TimeoutError:
            raise Refusal("invalid_request", f"the body did not arrive within {seconds:g} s") from None

    @contextmanager
    def watch(self, longest_seconds: float) -> Iterator[None]:
        """While inside, a hang-up cancels the current task's work and comes out as ClientGone. So does taking longer
        than this: who does not read what it asked for must not hold anything for ever."""
        worker = asyncio.current_task()
        assert worker is not None
        limit = asyncio.get_running_loop().call_later(longest_seconds, self._give_up, worker)
        self._watcher = asyncio.create_task(self._await_hangup(worker))
        try:
            yield
        except asyncio.CancelledError:
            if not self.is_gone:
                raise
            worker.uncancel()
            raise ClientGone from None
        finally:
            limit.cancel()
            self._watcher.cancel()
            self._watcher = None

    async def _await_hangup(self, worker: asyncio.Task[Any]) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._give_up(worker)

    def _give_up(self, worker: asyncio.Task[Any]) -> None:
        if not self.is_gone:
            self.is_gone = True
            worker.cancel()

    async def answer(self, status: int, body: bytes, headers: Sequence[Header] = (), content: Header = _JSON) -> None:
        """Send a whole answer."""
        self.status = status
        framing = [] if status == 204 else [content, (b"content-length", b"%d" % len(body))]
        sent = [*framing, *headers, *self.extra_headers]
        await self._send({"type": "http.response.start", "status": status, "headers": sent})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, error: ErrorAnswer) -> None:
        """Send an error."""
        await self.answer(error.status, error.body, error.headers)

    async def start_stream(self, headers: Sequence[Header] = ()) -> None:
        """Begin a stream of events."""
        self.status = 200
        sent = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *headers,
            *self.extra_headers,
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": sent})

    async def write(self, events: bytes) -> None:
        """Send a part of a stream; waits while the client does not keep up."""
        await self._send({"type": "http.response.body", "body": events, "more_body": True})

    async def end(self, events: bytes = b"") -> None:
        """Send the last part of a stream."""
        await self._send({"type": "http.response.body", "body": events})


def _bounded(piece: bytes, max_bytes: int, before: int = 0) -> bytes:
    """A piece of a body of which so many bytes came before. Raises Refusal when that is too much."""
    if before + len(piece) > max_bytes:
        raise Refusal("request_too_large", str(max_bytes))
    return piece
