"""One answer of a provider, from its header block to its last byte, as its one reader sees it.

`Connection` fills it from the network's side (`open`, `receive`, `finish`, `fail`); the caller empties it (`async for`,
`read`, `body`). Between the two is one list of pieces and one Future at a time: however much arrives during a turn of
the loop wakes the reader once. What arrived before a failure is handed out before the failure is raised, so that
whoever counts a stream has counted all of it. The end is reported only when the framing, and the compression if any,
say so.

The header block stays the bytes that came: names are looked up by a search, the list is made when somebody asks for it.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gateway.upstream.errors import Phase, UpstreamCut, UpstreamError, UpstreamTimeout, UpstreamTooLarge
from gateway.upstream.inflate import Inflater, inflater_for
from gateway.upstream.request import ClientLimits, Deadlines

if TYPE_CHECKING:
    from gateway.upstream.connection import Connection

# Headers that describe the compressed form; once the body is decompressed they would be wrong.
_OF_THE_COMPRESSED = frozenset({b"content-encoding", b"content-length"})


Shortcut = Callable[[bytes], bool]
"""Takes a piece of the body as soon as it comes, in place of the reader; False, and nothing done, if it does not."""


class UpstreamResponse:
    """Status, headers and body of one answer. Read it by one task, to its end, or `abort` or `leave` it; `async with`
    aborts what is not at its end. `async for` gives the body as it arrives: one piece for each turn of the loop that
    brought some.

    While the reader waits, what comes is offered to `shortcut`, if there is one, first: a piece that it takes wakes nobody.

    `framed` is False when only the end of the connection marks the end of the body: such an answer may have been cut
    without anybody being able to tell.
    """

    __slots__ = (
        "_buffered", "_connection", "_ended", "_error", "_head", "_headers", "_inflater", "_is_left", "_limits",
        "_loop", "_lowered", "_pieces", "_waiter", "deadlines", "framed", "phase_at", "shortcut", "status", "total_at",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Connection, limits: ClientLimits,
        deadlines: Deadlines, phase_at: float, total_at: float,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._connection: Connection | None = connection
        self._limits = limits
        self.deadlines = deadlines
        self.phase_at = phase_at
        self.total_at = total_at
        self.status = 0
        self.framed = True
        self._head = self._lowered = b""
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._inflater: Inflater | None = None
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._ended = self._is_left = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.shortcut: Shortcut | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    # The caller's side.

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers in order, names in lower case. Of a decompressed answer without those that no longer hold."""
        if self._headers is None:
            lines = [line.partition(b":") for line in self._head[:-2].split(b"\r\n")[1:]]
            found = [(name.lower(), value.strip(b" \t")) for name, _, value in lines]
            self._headers = [pair for pair in found if not self._inflater or pair[0] not in _OF_THE_COMPRESSED]
        return self._headers

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of this name (lower case), None if there is none."""
        if self._inflater is not None and name in _OF_THE_COMPRESSED:
            return None
        return self._find(name)

    def tells(self, lines: re.Pattern[bytes]) -> bool:
        """Whether the header block, in lower case, has something of this form: one search, whatever the names."""
        return lines.search(self._lowered) is not None

    async def read(self) -> bytes:
        """What has arrived since the last read, joined; waits if nothing has; b"" at the end. Raises UpstreamError."""
        if self._inflater is not None:
            return await self._read_inflated(self._inflater)
        return self._take() if self._pieces else await self._arrival()

    def __aiter__(self) -> Self:  # no generator: the loop keeps account of those, and ends each that was left in a task
        return self

    async def __anext__(self) -> bytes:
        if self._inflater is not None:
            piece = await self._read_inflated(self._inflater)
        else:  # `read` written out: a coroutine less for every chunk of every stream
            piece = self._take() if self._pieces else await self._arrival()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def body(self, max_bytes: int) -> bytes:
        """The whole rest of the body. Raises UpstreamTooLarge, and closes the connection, beyond `max_bytes`."""
        if self._ended and self._inflater is None and self._buffered <= max_bytes:
            return self._take() if self._pieces else b""  # the common case: it came together with the header block
        pieces: list[bytes] = []
        size = 0
        announced = int(self.header(b"content-length") or 0)
        while max(size, announced) <= max_bytes:
            piece = await self.read()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
        raise self._give_up(UpstreamTooLarge(f"the body is larger than {max_bytes} bytes"))

    def leave(self, seconds: float) -> None:
        """Done with it, and its end is near: for so long the rest is read and dropped, by nobody's task, so that the
        connection can carry another call."""
        connection = self._connection
        if connection is None:
            return
        self._is_left = True
        self._pieces.clear()
        self.phase_at = self.total_at = min(self.total_at, self._loop.time() + seconds)
        connection.arm(self.total_at)
        connection.resume()

    def abort(self) -> None:
        """Done with it. Before the end this closes the TCP connection at once, so that the provider stops; unless it was
        left."""
        if self._connection is not None and not self._is_left:
            self._give_up(UpstreamCut("the answer was abandoned before its end"))

    # The connection's side.

    def open(self, status: int, head: bytes, lowered: bytes) -> None:
        """The header block has arrived: status line and headers, each ended by CRLF; as sent and in lower case."""
        self._head = head
        self._lowered = lowered
        if lowered.find(b"\r\ncontent-encoding:") >= 0:
            self._inflater = inflater_for(self._find(b"content-encoding") or b"", self._limits.max_expansion)
        self.status = status
        self.wake()

    def receive(self, piece: bytes) -> bool:
        """Keeps a piece of the body, for which the reader is woken, unless it is taken on the short way; True if so much
        is waiting that the provider has to be held back."""
        if self._is_left:
            return False
        if self.shortcut is not None and self._is_awaited() and self.shortcut(piece):
            self.phase_at = self._loop.time() + self.deadlines.between_chunks_seconds
            return False
        self._pieces.append(piece)
        self._buffered += len(piece)
        self.wake()
        return self._buffered > self._limits.buffer_bytes

    def finish(self) -> None:
        """The body is complete; the connection is no longer ours."""
        self._ended = True
        self._connection = None
        self.wake()

    def fail(self, error: UpstreamError) -> None:
        """Nothing more will come and the answer is not complete: so the reader is told, after what is in the buffer."""
        self._error = error
        self._connection = None
        self.wake()

    def wake(self) -> None:
        """Lets the waiting task, if any, look again."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            self.phase_at = math.inf
            if not waiter.done():
                waiter.set_result(None)

    def timeout(self) -> UpstreamTimeout:
        """The error for the deadline that comes first."""
        phase: Phase = "between_chunks" if self.status else "first_byte"
        seconds = self.deadlines.between_chunks_seconds if self.status else self.deadlines.first_byte_seconds
        if self.total_at <= self.phase_at:
            phase, seconds = "total", self.deadlines.total_seconds
        return UpstreamTimeout(phase, seconds, sent=True)

    async def wait(self) -> None:
        """Before the header block: until `wake`. Raises the failure, if that is what it was; cancelled, it closes."""
        if self._error is None:
            self._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            except BaseException:
                self.abort()
                raise
        if self._error is not None and not self.status:
            raise self._error

    # Inside.

    def _is_awaited(self) -> bool:
        """Whether the reader has had all that came before, as it came, and waits for what comes next."""
        return self._waiter is not None and not self._pieces and self._inflater is None

    def _find(self, name: bytes) -> bytes | None:
        start = self._lowered.find(b"\r\n%b:" % name)
        if start < 0:
            return None
        start += len(name) + 3
        return self._head[start : self._head.index(b"\r\n", start)].strip(b" \t")

    def _take(self) -> bytes:
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        if self._connection is not None:
            self._connection.resume()
        return piece

    async def _arrival(self) -> bytes:
        while not self._pieces:
            if self._ended:
                return b""
            if self._connection is None:
                raise self._error or UpstreamCut("the answer was abandoned before its end")
            self.phase_at = self._loop.time() + self.deadlines.between_chunks_seconds
            self._connection.arm(self.phase_at)
            self._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            except BaseException:
                self.abort()
                raise
        return self._take()

    async def _read_inflated(self, inflater: Inflater) -> bytes:
        try:
            while not (piece := inflater.pull()):
                raw = self._take() if self._pieces else await self._arrival()
                if not raw:
                    inflater.finish()
                    return b""
                inflater.push(raw)
            # Decompressing is CPU time that a provider can make us spend: others get their turn between two steps.
            await asyncio.sleep(0)
        except UpstreamError as error:
            self._give_up(error)
            raise
        except BaseException:
            self.abort()
            raise
        return piece

    def _give_up(self, error: UpstreamError) -> UpstreamError:
        """Ends it from our side: `error` is what any later read will say."""
        self._pieces.clear()
        self._ended = False
        if self._connection is not None:
            self._connection.fail(error)
        self._error = error
        return error
