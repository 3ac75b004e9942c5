"""uvicorn's HTTP/1.1 protocol, with what the hot path needs beside it.

An answer's head waits for the beginning of its body, as ASGI has it, and both leave in one system call: uvicorn writes
them apart, and judges each header alone, which costs a short call more than encoding its answer.

A request's head is bounded in size and time: neither the parser nor uvicorn would stop taking, or waiting for, one that
never ends.

Whoever works for a client is called when it hangs up: ASGI's own way, a task that waits for the word, costs every call
that task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_CONTROL = bytes({*range(32), 127} - {ord("\t")})
_NO_BODY = (204, 304)
_LINE = b": ".join

MAX_HEAD_BYTES = 64 * 1024
"""What a request's line and headers may take; judged after each read, so one read more may pass."""

HEAD_SECONDS = 60.0
"""How long a client that has connected, or has begun to ask, may take until its request's head is here."""

LINE = "tollgate.line"
"""The ASGI extension under which a request finds its client's line."""


class Line:
    """A client's connection: whether it was cut, what to call when it is, and the exchange that is going on."""

    __slots__ = ("exchange", "is_cut", "on_cut")

    def __init__(self) -> None:
        self.is_cut = False
        self.on_cut: Callable[[], None] | None = None
        self.exchange: Exchange | None = None

    def cut(self) -> None:
        """The client has hung up."""
        self.is_cut = True
        if self.on_cut is not None:
            self.on_cut()

    def has_come(self) -> bool:
        """Whether all of the request is here, so that reading it waits for nothing."""
        return self.exchange is not None and not self.exchange.request.more_body and not self.is_cut


class Exchange:
    """One request and its answer: runs the application, and frames what it sends."""

    __slots__ = ("_head", "_is_chunked", "_left", "request")

    def __init__(self, request: RequestResponseCycle) -> None:
        self.request = request
        self._head = b""
        self._is_chunked = False
        self._left = 0

    async def run(self, app: ASGI3Application) -> None:
        """Have the request answered; a client that is left without the end of its answer is told by a cut line."""
        request = self.request
        try:
            await app(request.scope, request.receive, self.send)
        finally:
            if not request.response_complete and not request.disconnected:
                request.transport.close()
            request.on_response = _nothing

    async def send(self, message: Any) -> None:
        """Take a message of ASGI's. Raises RuntimeError for an answer that cannot be framed."""
        request = self.request
        if request.flow.write_paused and not request.disconnected:
            await request.flow.drain()
        if request.disconnected:
            return
        if message["type"] == "http.response.start":
            request.response_started, request.waiting_for_100_continue = True, False
            self._head = self._framed(message["status"], [*request.default_headers, *message["headers"]])
            return
        body: bytes = message.get("body", b"")
        is_last = not message.get("more_body", False)
        head, self._head = self._head, b""
        request.transport.write(head + (self._chunk(body, is_last) if self._is_chunked else self._part(body, is_last)))
        if is_last:
            request.response_complete = True
            request.message_event.set()  # who waits for the client's next word is told that there is none
            if not request.keep_alive:
                request.transport.close()
            request.on_response()

    def has_room(self) -> bool:
        """Whether a further part of a stream that has begun can leave at once."""
        request = self.request
        is_within = self._is_chunked and not self._head and not request.response_complete
        return is_within and not request.flow.write_paused and not request.disconnected

    def write(self, body: bytes) -> None:
        """Send a further part of a stream, which `has_room` has allowed."""
        self.request.transport.write(b"%x\r\n%b\r\n" % (len(body), body))

    def _framed(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """An answer's head; from now on it is known how its body is framed."""
        lines = b"\r\n".join([*map(_LINE, headers), b""])
        if len(lines) - len(lines.translate(None, _CONTROL)) != 2 * len(headers):  # as many as end the lines
            raise RuntimeError("a header with control characters in it")
        named = dict(headers)
        length = named.get(b"content-length")
        if (connection := named.get(b"connection")) is not None and b"close" in connection:
            self.request.keep_alive = False
        has_body = status not in _NO_BODY and self.request.scope["method"] != "HEAD"
        self._is_chunked = length is None and has_body
        self._left = int(length or 0) if has_body else 0
        if self._is_chunked:
            lines += b"transfer-encoding: chunked\r\n"
        if not self.request.keep_alive and b"connection" not in named:
            lines += b"connection: close\r\n"
        return b"%b%b\r\n" % (STATUS_LINE[status], lines)

    @staticmethod
    def _chunk(body: bytes, is_last: bool) -> bytes:
        piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return piece + b"0\r\n\r\n" if is_last else piece

    def _part(self, body: bytes, is_last: bool) -> bytes:
        if self.request.scope["method"] == "HEAD":
            return b""
        self._left -= len(body)
        if self._left < 0 or (is_last and self._left):
            raise RuntimeError("an answer of another length than it says")
        return body


def _nothing() -> None:
    """What is called at an answer's end once it has ended."""


_NO_HEAD = -1


class ClientProtocol(HttpToolsProtocol):
    """The protocol, whose requests know their client's line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvloop's is a transport in all but name
        self._line = Line()
        self._extensions: dict[str, Any] = {LINE: self._line}
        self._head_bytes = _NO_HEAD
        self._late: asyncio.TimerHandle | None = None
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        if self._late is None and (self.cycle is None or self.cycle.response_complete):  # but no whole head
            self._expect_head()
        if self._head_bytes >= 0:  # and the head has not ended
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._head_bytes = _NO_HEAD
                self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """A request's head has come."""
        self._head_bytes = _NO_HEAD
        self._expect_no_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has hung up."""
        self._expect_no_head()
        super().connection_lost(exc)
        self._line.cut()

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _expect_no_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """A request's turn has come: it is answered by a task."""
        self._line.exchange = exchange = Exchange(cycle)
        task = self.loop.create_task(exchange.run(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
