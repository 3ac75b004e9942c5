"""uvicorn's HTTP/1.1 protocol, with what the hot path needs beside it.

An answer's head and the beginning of its body leave in one system call: uvicorn writes the two apart, and with uvloop
each write is a call, which costs more than encoding both. Here a head waits for what is written next, at most until the
end of the loop's turn; everything else goes out at once.

A request's head is bounded: neither the parser nor uvicorn would stop taking one that never ends.

Whoever works for a client is called when it hangs up: ASGI's own way, a task that waits for the word, costs every call
that task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "

MAX_HEAD_BYTES = 64 * 1024
"""What a request's line and headers may take; judged after each read, so one read more may pass."""

LINE = "tollgate.line"
"""The ASGI extension under which a request finds its client's line."""


class Line:
    """A client's connection: whether it was cut, and what to call when it is."""

    __slots__ = ("is_cut", "on_cut")

    def __init__(self) -> None:
        self.is_cut = False
        self.on_cut: Callable[[], None] | None = None

    def cut(self) -> None:
        """The client has hung up."""
        self.is_cut = True
        if self.on_cut is not None:
            self.on_cut()


class CorkedTransport:
    """A transport that holds an answer's head back for its body; everything else is the transport's own."""

    __slots__ = ("_head", "_loop", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._write = transport.write
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send, together with a head that waits; a head itself waits for what follows."""
        if self._head:
            head, self._head = self._head, b""
            self._write(head + data)
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self.flush)
        else:
            self._write(data)

    def flush(self) -> None:
        """Send a head that still waits."""
        if self._head:
            head, self._head = self._head, b""
            self._write(head)

    def close(self) -> None:
        """Send what waits, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


_NO_HEAD = -1


class ClientProtocol(HttpToolsProtocol):
    """The protocol, on a corked transport, whose requests know their client's line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        corked = CorkedTransport(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, corked))
        self._line = Line()
        self._extensions: dict[str, Any] = {LINE: self._line}
        self._head_bytes = _NO_HEAD

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
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
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has hung up."""
        super().connection_lost(exc)
        self._line.cut()
