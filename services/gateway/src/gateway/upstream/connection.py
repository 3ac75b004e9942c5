"""One TCP connection to one origin: writes a request, parses the answer into an `UpstreamResponse`, keeps the deadlines.

llhttp (by httptools) does the framing, strictly: no lone LF, no folded headers, no Content-Length beside
Transfer-Encoding. It is given no header callbacks; the header block is cut out of the received bytes in one piece, which
costs a search instead of three Python calls a header.

Deadlines cost one timer a connection, not one a wait: the timer is armed for the nearest deadline and, when it fires,
looks whether that deadline still stands. Moving a deadline forward, which happens at every chunk, is one assignment; a
timer left over from one call serves the next.

A connection goes back to the pool only from `_complete`, after an answer whose end the parser has seen, with nothing
unread behind it, nothing unsent before it, and no objection from the provider. Every other way out is `retire`, which
aborts the transport: no half-read answer can ever be taken for the answer to another call.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
from typing import Protocol, cast

import httptools

from gateway.upstream.errors import UpstreamCut, UpstreamError, UpstreamProtocolError, UpstreamTooLarge
from gateway.upstream.request import ClientLimits, Deadlines
from gateway.upstream.response import UpstreamResponse

_SLICE_BYTES = 262_144  # a large body is handed to the transport in such views, each after the one before has left
_EARLY_SECONDS = 0.002  # the loop's clock counts milliseconds: a timer may fire that much before its time
_KEEP_ALIVE = re.compile(rb"\r\nkeep-alive:[^\r]*timeout=(\d{1,6})")
_TRANSFER_ENCODING = b"\r\ntransfer-encoding:"
_BODILESS = frozenset({204, 304})


class Owner(Protocol):
    """Who is told when a connection has become free or is gone."""

    def released(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """The protocol of one connection; carries at most one call at a time."""

    __slots__ = (
        "_body", "_ended_at", "_has_surplus", "_head", "_informational", "_is_head", "_is_paused", "_is_sending",
        "_is_write_paused", "_keeps", "_limits", "_loop", "_owner", "_parser", "_response", "_since_body", "_socket",
        "_status", "_timer", "_timer_at", "_transport", "idle_until", "is_closed", "on_body",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: ClientLimits, plain_socket: socket.socket) -> None:
        self._loop = loop
        self._limits = limits
        self._socket = plain_socket
        self._owner: Owner | None = None
        self._transport: asyncio.Transport | None = None
        self._response: UpstreamResponse | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._is_paused = self._is_write_paused = self._is_sending = self._is_head = False
        self._body: list[bytes] = []
        self.on_body = self._body.append  # the parser calls the list itself: no Python frame for a piece of body
        self._parser = httptools.HttpResponseParser(self)
        self.idle_until = math.inf
        self.is_closed = False
        self._expect_answer()

    def attach(self, owner: Owner) -> None:
        """From now on `owner` hears what becomes of this connection."""
        self._owner = owner

    # One call.

    async def exchange(
        self, head: bytes, body: bytes | None, deadlines: Deadlines, total_at: float, is_head: bool
    ) -> UpstreamResponse:
        """Sends the request; returns when the answer's header block is complete. Cancelled, it closes the connection."""
        assert self._transport is not None and self._response is None
        first_byte_at = self._loop.time() + deadlines.first_byte_seconds
        response = UpstreamResponse(self._loop, self, self._limits, deadlines, first_byte_at, total_at)
        self._response = response
        self._is_head = is_head
        self._transport.write(head)
        self.arm(min(first_byte_at, total_at))
        if body is not None:
            await self._send_body(self._transport, memoryview(body), response)
        while not response.status:
            await response.wait()
        return response

    async def _send_body(self, transport: asyncio.Transport, body: memoryview, response: UpstreamResponse) -> None:
        """Hands the body over as fast as the provider takes it. An answer that comes before the end stops the sending."""
        self._is_sending = True
        for start in range(0, len(body), _SLICE_BYTES):
            while self._is_write_paused and not response.status:
                await response.wait()
            if response.status:
                return  # `_is_sending` stays: the provider has part of a request, the connection is of no further use
            transport.write(body[start : start + _SLICE_BYTES])
            response.phase_at = self._loop.time() + response.deadlines.first_byte_seconds
        self._is_sending = False

    def _expect_answer(self) -> None:
        self._head: list[bytes] = []
        self._status = 0
        self._informational = 0
        self._ended_at = -1
        self._since_body = 0
        self._keeps = self._has_surplus = False

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.retire()  # nobody asked: whatever it is, it must not become the beginning of the next answer
            return
        if not self._status:
            self._head.append(data)
        self._since_body += len(data)
        failure: UpstreamError | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            failure = UpstreamProtocolError(f"the answer is not HTTP/1.1: {_reason(error)}")
        self._digest(response, failure)

    def eof_received(self) -> None:
        self._hang_up(is_orderly=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hang_up(is_orderly=exc is None)

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._is_sending and self._response is not None:
            self._response.wake()

    # From the parser, during `feed_data`: these only take notes, `_digest` acts on them.

    def on_message_begin(self) -> None:
        if self._ended_at >= 0:
            self._has_surplus = True

    def on_headers_complete(self) -> None:
        if self._ended_at >= 0:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._informational += 1
            return
        self._status = status
        self._keeps = self._parser.should_keep_alive()
        if self._is_head:
            self._ended_at = 0

    def on_message_complete(self) -> None:
        if self._status and self._ended_at < 0:
            self._ended_at = len(self._body)

    # What has arrived, taken together.

    def _digest(self, response: UpstreamResponse, failure: UpstreamError | None) -> None:
        try:
            if self._status and not response.status:
                self._open(response)
        except UpstreamError as error:
            self.fail(error)
            return
        body = self._body
        if body:
            if self._ended_at >= 0 and len(body) > self._ended_at:
                self._has_surplus = True
                del body[self._ended_at :]
            self._deliver(response, body)
        if self._ended_at >= 0:
            self._complete(response, failure is not None)
        elif failure is not None:
            self.fail(failure)
        elif self._since_body > self._limits.header_bytes:
            # Before the body that is the header block; within it, chunk extensions or trailers without an end.
            self.fail(UpstreamTooLarge(f"more than {self._limits.header_bytes} bytes of headers"))
        elif response.status:
            response.wake()

    def _open(self, response: UpstreamResponse) -> None:
        """Cuts the header block out of what has been received and checks what the parser leaves open."""
        raw = self._head[0] if len(self._head) == 1 else b"".join(self._head)
        self._head = []
        start = 0
        for _ in range(self._informational):
            start = raw.index(b"\r\n\r\n", start) + 4
        if raw[start : start + 1] in b"\r\n":
            raw, start = raw[start:].lstrip(b"\r\n"), 0
        end = raw.index(b"\r\n\r\n", start) + 2
        if end > self._limits.header_bytes:
            raise UpstreamTooLarge(f"more than {self._limits.header_bytes} bytes of headers")
        if not raw.startswith(b"HTTP/1.", start) or not 200 <= self._status <= 599:
            raise UpstreamProtocolError("the answer is not HTTP/1.1: its first line is not one of a final answer")
        head = raw[raw.index(b"\r\n", start) : end]
        lowered = head.lower()
        self._since_body = 0
        self.idle_until = self._limits.idle_seconds
        if b"\r\nkeep-alive:" in lowered and (hint := _KEEP_ALIVE.search(lowered)):
            self.idle_until = min(self.idle_until, int(hint[1]) - 1)
        self._judge_framing(response, lowered)
        response.open(self._status, head)

    def _judge_framing(self, response: UpstreamResponse, lowered: bytes) -> None:
        start = lowered.find(_TRANSFER_ENCODING)
        if start >= 0:
            start += len(_TRANSFER_ENCODING)
            if lowered[start : lowered.index(b"\r\n", start)].strip(b" \t") != b"chunked":
                raise UpstreamProtocolError("the answer has a transfer encoding other than chunked")
        elif b"\r\ncontent-length:" not in lowered:
            response.framed = self._is_head or self._status in _BODILESS
