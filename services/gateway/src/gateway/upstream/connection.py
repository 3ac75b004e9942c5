"""One TCP connection to one origin: writes a request, parses its answer into an `UpstreamResponse`, keeps deadlines.

llhttp (by httptools) does the framing, strictly: no lone LF, no folded headers, no Content-Length beside
Transfer-Encoding. It is given no header callbacks; the header block is cut out of the received bytes in one piece,
which costs a search instead of three Python calls a header.

Deadlines cost one timer a connection, not one a wait: the timer is armed for the nearest deadline and, when it fires,
looks whether that deadline still stands. Moving a deadline forward, which happens at every chunk, is one assignment; a
timer left over from one call serves the next.

It reads into a buffer that all connections of a client share (`BufferedProtocol`): between the loop's asking for it and
`buffer_updated` nothing else runs. Otherwise each read, above all each TLS record, would allocate its own 256 KiB.

A connection goes back to the pool only from `_complete`, after an answer whose end the parser has seen, with nothing
unread behind it, nothing unsent before it, and no objection from the provider. Every other way out is `retire`, which
aborts the transport: no half-read answer can ever be taken for the answer to another call.
"""

from __future__ import annotations

import asyncio
import math
import re
import select
import socket
from typing import Protocol, cast

import httptools

from gateway.upstream.errors import UpstreamCut, UpstreamError, UpstreamProtocolError, UpstreamTooLarge
from gateway.upstream.request import ClientLimits, Deadlines
from gateway.upstream.response import UpstreamResponse

_SLICE_BYTES = 262_144  # a large body is handed to the transport in such views, each after the one before has left
_EARLY_SECONDS = 0.002  # the loop's clock counts milliseconds: a timer may fire that much before its time
_KEEP_ALIVE = re.compile(rb"\r\nkeep-alive:[^\r]*timeout=(\d{1,6})")
_KEEP_ALIVE_MARGIN_SECONDS = 1.0  # a request must have arrived before the provider's own idle timer fires
_TRANSFER_ENCODING = b"\r\ntransfer-encoding:"
_BODILESS = frozenset({204, 304})


class Owner(Protocol):
    """Who is told when a connection has become free or is gone."""

    def released(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection; carries at most one call at a time."""

    __slots__ = (
        "_bodiless_bytes", "_body", "_buffer", "_ended_at", "_has_surplus", "_head", "_idle_seconds", "_informational",
        "_is_head", "_is_paused", "_is_sending", "_is_write_paused", "_keeps", "_limits", "_look", "_loop", "_owner",
        "_parser", "_response", "_status", "_timer", "_timer_at", "_transport", "idle_until", "is_closed", "on_body",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: ClientLimits, plain_socket: socket.socket, buffer: memoryview
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._buffer = buffer
        self._look = select.poll()
        self._look.register(plain_socket.fileno(), select.POLLIN)
        self._owner: Owner | None = None
        self._transport: asyncio.Transport | None = None
        self._response: UpstreamResponse | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._is_paused = self._is_write_paused = self._is_sending = self._is_head = False
        self._body: list[bytes] = []
        self._head: list[bytes] = []  # what has come of a header block that is not complete
        self.on_body = self._body.append  # the parser calls the list itself: no Python frame for a piece of body
        self._parser = httptools.HttpResponseParser(self)
        self._idle_seconds = -1.0  # not known before the first answer
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
        """Sends the request; returns with the answer's header block. Cancelled, it closes the connection."""
        assert self._transport is not None
        assert self._response is None
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
        """Hands the body over as fast as the provider takes it. An answer that comes early stops the sending."""
        self._is_sending = True
        for start in range(0, len(body), _SLICE_BYTES):
            # A transport that is closing is about to fail the response; until then uvloop's raises at a write.
            while (self._is_write_paused or not self.is_open) and not response.status:
                await response.wait()
            if response.status:
                return  # `_is_sending` stays: the provider has part of a request, the connection is of no further use
            transport.write(body[start : start + _SLICE_BYTES])
            response.phase_at = self._loop.time() + response.deadlines.first_byte_seconds
            self.arm(response.phase_at)
        self._is_sending = False

    def _expect_answer(self) -> None:
        self._head.clear()
        self._status = 0
        self._informational = 0
        self._ended_at = -1
        self._bodiless_bytes = 0
        self._keeps = self._has_surplus = False

    # From the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self._buffer[:nbytes]
        response = self._response
        if response is None:
            self.retire()  # nobody asked: whatever it is, it must not become the beginning of the next answer
            return
        failure: UpstreamError | None = None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            failure = UpstreamProtocolError(f"the answer is not HTTP/1.1: {_reason(error)}")
        try:
            self._digest(response, data)
        except UpstreamError as error:
            self.fail(error)
            return
        if self._ended_at >= 0:
            self._complete(response, failure is not None)
        elif failure is not None:
            self.fail(failure)

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
        self._status = status or -1
        self._keeps = self._parser.should_keep_alive()
        if self._is_head:
            self._ended_at = 0

    def on_message_complete(self) -> None:
        if self._status and self._ended_at < 0:
            self._ended_at = len(self._body)

    # What has arrived, taken together.

    def _digest(self, response: UpstreamResponse, data: memoryview) -> None:
        """Passes on what the parser has noted while it was fed `data`."""
        if not response.status:
            self._head.append(bytes(data))
            if self._status:
                self._open(response, self._head[0] if len(self._head) == 1 else b"".join(self._head))
        if self._body:
            self._deliver(response, self._body)
            return
        # No body: the header block is growing, or within a body chunk extensions or trailers are.
        self._bodiless_bytes += len(data)
        if self._bodiless_bytes > self._limits.header_bytes and self._ended_at < 0:
            raise UpstreamTooLarge(f"more than {self._limits.header_bytes} bytes of headers")
        if response.status:
            response.wake()  # the provider is still there

    def _open(self, response: UpstreamResponse, raw: bytes) -> None:
        """Cuts the header block out of what has been received and checks what the parser leaves open."""
        start = self._start_of_head(raw) if self._informational or raw[:1] != b"H" else 0
        if not raw.startswith(b"HTTP/1.", start) or not 200 <= self._status <= 599:
            raise UpstreamProtocolError("the answer is not HTTP/1.1: its first line is not that of a final answer")
        end = raw.index(b"\r\n\r\n", start) + 2
        if end > self._limits.header_bytes:
            raise UpstreamTooLarge(f"more than {self._limits.header_bytes} bytes of headers")
        head = raw[start:end]
        lowered = head.lower()
        if lowered.find(b"\r\ncontent-length:") < 0:
            response.framed = self._is_framed(lowered)
        if self._idle_seconds < 0:
            self._idle_seconds = self._idle_seconds_of(lowered)
        self._bodiless_bytes = 0
        response.open(self._status, head, lowered)

    def _start_of_head(self, raw: bytes) -> int:
        """Where the final answer begins: behind the interim ones, and behind empty lines, which the parser skips."""
        rest = raw.lstrip(b"\r\n")
        for _ in range(self._informational):
            rest = rest[rest.index(b"\r\n\r\n") :].lstrip(b"\r\n")
        return len(raw) - len(rest)

    def _is_framed(self, lowered: bytes) -> bool:
        """Whether an answer without Content-Length says where it ends."""
        start = lowered.find(_TRANSFER_ENCODING)
        if start < 0:
            return self._is_head or self._status in _BODILESS
        start += len(_TRANSFER_ENCODING)
        if lowered[start : lowered.index(b"\r\n", start)].strip(b" \t") != b"chunked":
            raise UpstreamProtocolError("the answer has a transfer encoding other than chunked")
        return True

    def _idle_seconds_of(self, lowered: bytes) -> float:
        """How long this connection may rest, by our limit and by the provider's hint; asked once a connection."""
        hint = _KEEP_ALIVE.search(lowered)
        seconds = self._limits.idle_seconds
        return max(0.0, min(seconds, int(hint[1]) - _KEEP_ALIVE_MARGIN_SECONDS)) if hint else seconds

    def _deliver(self, response: UpstreamResponse, body: list[bytes]) -> None:
        if 0 <= self._ended_at < len(body):
            self._has_surplus = True
            del body[self._ended_at :]
        piece = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        self._bodiless_bytes = 0
        if piece and response.receive(piece) and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """The reader has emptied its buffer: let the provider go on."""
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            if self.is_open:
                self._transport.resume_reading()

    # The ways a call ends.

    def _complete(self, response: UpstreamResponse, is_damaged: bool) -> None:
        """The last byte has come; what is still in the response's buffer needs no connection."""
        self._response = None
        transport = self._transport
        assert transport is not None
        assert self._owner is not None
        keeps = self._keeps and self._idle_seconds > 0
        keeps = keeps and not (is_damaged or self._has_surplus or self._is_sending)
        response.finish()
        if not keeps or transport.get_write_buffer_size() or not self.is_open:
            self.retire()
            return
        if self._is_paused:
            self.resume()
        if self._is_head:
            self._parser = httptools.HttpResponseParser(self)  # this one still waits for the body that HEAD announces
        self._expect_answer()
        self.idle_until = self._loop.time() + self._idle_seconds
        self._owner.released(self)

    def _hang_up(self, is_orderly: bool) -> None:
        """The provider has closed: the end of an answer without framing, the middle of any other."""
        response = self._response
        if response is not None and response.status and not response.framed and is_orderly:
            self._response = None
            response.finish()
        part = "any byte of the answer" if not (self._head or self._status) else "the answer was complete"
        self.fail(UpstreamCut(f"the provider closed the connection before {part}"))

    def fail(self, error: UpstreamError) -> None:
        """Closes the connection and tells the reader, if there is one, why."""
        response, self._response = self._response, None
        if response is not None:
            response.fail(error)
        self.retire()

    def retire(self) -> None:
        """Closes the connection at once, without waiting for anything still to be written. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self._owner is not None:
            self._owner.closed(self)
        self.fail(UpstreamCut("the connection was closed before the answer was complete"))

    # Waiting.

    def arm(self, at: float) -> None:
        """Sees to it that the timer fires at `at` or before."""
        if at >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        response = self._response
        if response is None:
            return
        at = min(response.phase_at, response.total_at)
        if self._loop.time() + _EARLY_SECONDS < at:
            self.arm(at)
        else:
            self.fail(response.timeout())

    @property
    def is_open(self) -> bool:
        """Whether, as far as the loop knows, bytes can be written to it."""
        return not self.is_closed and self._transport is not None and not self._transport.is_closing()

    def is_fit(self, now: float) -> bool:
        """Whether an idle connection may carry the next call.

        The look into the socket is what makes reuse safe. Between the provider's FIN and our loop's reading of it there
        is a gap in which a request would be written into a dead connection, and nobody could tell whether it was
        processed. Here nothing has been written yet, so going to another connection is no repetition at all.
        """
        if not self.is_open or now >= self.idle_until:
            return False
        return not self._look.poll(0)  # not: an end of file, an error, or bytes that no request has asked for


def _reason(error: Exception) -> str:
    """The parser's own constant phrases; they never quote what was received."""
    return str(error) if isinstance(error, httptools.HttpParserError) else "it changes to another protocol"
