"""The connections of one origin: which are idle, how many there may be, who waits for one.

Last in, first out: the connection used last is the one least likely to have been closed meanwhile, and the surplus of a
past peak grows old and is dropped. Callers beyond the limit queue first come, first served, in a queue bounded in
number and in time. A slot (the right to have a connection) is counted from before the connection is opened until it is
closed, and passes straight to the next in the queue, so a late caller cannot overtake.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from gateway.upstream.connection import Connection
from gateway.upstream.dial import Dialer
from gateway.upstream.errors import ConnectFailed, UpstreamTimeout
from gateway.upstream.request import ClientLimits, Deadlines, Origin, host_line_of


class Counts:
    """What has happened since the start, over all pools of a client."""

    __slots__ = ("closed", "created", "reused")

    def __init__(self) -> None:
        self.closed = self.created = self.reused = 0


class Watcher(Protocol):
    """Who is told when a pool has something to reap."""

    def has_idle(self) -> None: ...


class Pool:
    """All connections of one origin. `take` is the fast way, `acquire` the one that may wait or connect."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, origin: Origin, limits: ClientLimits, dialer: Dialer, counts: Counts,
        watcher: Watcher,
    ) -> None:  # fmt: skip
        self.origin = origin
        self.host_line = host_line_of(origin)
        self._loop = loop
        self._limits = limits
        self._dialer = dialer
        self._counts = counts
        self._watcher = watcher
        self._idle: list[Connection] = []
        self._members: set[Connection] = set()
        self._opening = 0
        self._acquiring = 0
        self._is_closed = False
        # A result is a connection handed over, or None: a slot, already counted in `_opening`.
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def open(self) -> int:
        """Connections that are open or being opened."""
        return len(self._members) + self._opening

    @property
    def idle(self) -> int:
        """Those of them that carry no call."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._waiters)

    @property
    def is_unused(self) -> bool:
        """No connection, and nobody on the way to one: it may be forgotten."""
        return not self.open and not self._acquiring

    def take(self, now: float) -> Connection | None:
        """An idle connection that is fit for use, at once; those that are not are closed on the way."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fit(now):
                self._counts.reused += 1
                return connection
            connection.retire()
        return None

    async def acquire(self, deadlines: Deadlines, started_at: float) -> Connection:
        """A connection by whatever way is left. Raises ConnectFailed or UpstreamTimeout, always with sent=False."""
        self._acquiring += 1
        try:
            return await self._acquire(deadlines, started_at)
        finally:
            self._acquiring -= 1

    async def _acquire(self, deadlines: Deadlines, started_at: float) -> Connection:
        total_at = started_at + deadlines.total_seconds
        while True:
            if self._is_closed:
                raise ConnectFailed("the client is closed")
            connection = self.take(self._loop.time())
            if connection is not None:
                return connection
            if self.open < self._limits.max_connections:
                self._opening += 1
                return await self._open(deadlines, total_at)
            handed = await self._queue(deadlines, started_at)
            if handed is None:
                return await self._open(deadlines, total_at)
            if handed.is_fit(self._loop.time()):
                self._counts.reused += 1
                return handed
            handed.retire()

    def released(self, connection: Connection) -> None:
        """A connection has done its call and can do another: the next in the queue gets it, or it rests."""
        if self._is_closed:
            connection.retire()
            return
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        self._idle.append(connection)
        if len(self._idle) > self._limits.max_idle:
            self._idle[0].retire()
        self._watcher.has_idle()

    def closed(self, connection: Connection) -> None:
        """A connection is gone, whatever it was doing."""
        self._members.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._counts.closed += 1
        self._vacate()

    def reap(self, now: float) -> None:
        """Closes the idle connections whose time is over."""
        for connection in [each for each in self._idle if each.idle_until <= now]:
            connection.retire()

    def close(self) -> None:
        """Closes everything, calls in flight included; whoever waits is refused."""
        self._is_closed = True
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(ConnectFailed("the client is closed"))
        for connection in list(self._members):
            connection.retire()

    async def _open(self, deadlines: Deadlines, total_at: float) -> Connection:
        """Opens a connection into a slot that is already counted in `_opening`."""
        try:
            connection = await self._dialer.dial(self.origin, deadlines, total_at)
        except BaseException:
            self._opening -= 1
            self._vacate()
            raise
        self._opening -= 1
        self._members.add(connection)
        self._counts.created += 1
        connection.attach(self)
        if self._is_closed:
            connection.retire()
            raise ConnectFailed("the client is closed")
        return connection

    async def _queue(self, deadlines: Deadlines, started_at: float) -> Connection | None:
        if len(self._waiters) >= self._limits.max_waiting:
            raise UpstreamTimeout("pool", 0.0, sent=False)
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        pool_at = started_at + self._limits.pool_seconds
        total_at = started_at + deadlines.total_seconds
        error = UpstreamTimeout("pool", self._limits.pool_seconds, sent=False)
        if total_at < pool_at:
            error = UpstreamTimeout("total", deadlines.total_seconds, sent=False)
        timer = self._loop.call_at(min(pool_at, total_at), self._expire, waiter, error)
        try:
            return await waiter
        except BaseException:
            self._take_back(waiter)
            raise
        finally:
            timer.cancel()

    def _expire(self, waiter: asyncio.Future[Connection | None], error: UpstreamTimeout) -> None:
        if not waiter.done():
            waiter.set_exception(error)

    def _take_back(self, waiter: asyncio.Future[Connection | None]) -> None:
        """The caller is gone or refused: out of the queue, and what it had been given meanwhile goes to the next."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.cancelled() or not waiter.done() or waiter.exception() is not None:
            return
        handed = waiter.result()
        if handed is None:
            self._opening -= 1
            self._vacate()
        elif not handed.is_closed:
            self.released(handed)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _vacate(self) -> None:
        """A slot has become free: it passes to the next in the queue."""
        waiter = None if self._is_closed else self._next_waiter()
        if waiter is not None:
            self._opening += 1
            waiter.set_result(None)
