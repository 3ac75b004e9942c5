"""The gateway's HTTP/1.1 client for providers; the rest of the gateway imports everything it needs of it from here.

It sends one request and hands back one answer: no redirects, no cookies, no proxies, no content negotiation, and no
second try of a request of which a byte has been written. On that last point:

* An idle connection that the provider has closed is found out before anything is written to it (`Connection.is_fit`)
  and replaced by another one. The request has not been sent, so this is no retry and safe for any method.
* A connection that dies after the request was written, before any byte of an answer, proves nothing: the provider may
  have read, run and billed the request and have died before answering. The caller gets `UpstreamCut` with `sent=True`,
  and decides, since it knows what a second try may cost.

It starts no tasks for a call: the caller's task writes, and sleeps on one Future until something has arrived. One timer
looks after idle connections, and only while there are any. All state belongs to the instance and to the loop it is
first used on; a second loop needs a second client.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from gateway.upstream.dial import Dialer, Resolver
from gateway.upstream.errors import (
    ConnectFailed,
    Phase,
    UpstreamCut,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTooLarge,
)
from gateway.upstream.pool import Counts, Pool
from gateway.upstream.request import (
    ClientLimits,
    Deadlines,
    Origin,
    UpstreamRequest,
    compose,
    header_block,
    split_url,
)
from gateway.upstream.response import Shortcut, UpstreamResponse

__all__ = [
    "ClientLimits",
    "ClientStats",
    "ConnectFailed",
    "Deadlines",
    "Origin",
    "Phase",
    "Resolver",
    "Shortcut",
    "UpstreamClient",
    "UpstreamCut",
    "UpstreamError",
    "UpstreamProtocolError",
    "UpstreamRequest",
    "UpstreamResponse",
    "UpstreamTimeout",
    "UpstreamTooLarge",
    "header_block",
    "split_url",
]

# An idle connection may overstay by this part of its time; `Pool.take` never hands out one that has.
_REAP_PART = 0.5


@dataclass(frozen=True, slots=True)
class ClientStats:
    """Connections now (`open` includes `idle` and those being opened), callers waiting, and totals since the start."""

    open: int
    idle: int
    waiting: int
    reused: int
    created: int
    closed: int


class UpstreamClient:
    """Sends requests over pooled connections, one pool for each origin.

    `ssl_context` is taken over: it is limited to HTTP/1.1 by ALPN. Without one the system's certificates decide.
    `resolve` says which addresses an origin may be reached at; without it the system's resolver does.
    """

    def __init__(
        self, limits: ClientLimits, ssl_context: ssl.SSLContext | None = None, resolve: Resolver | None = None
    ) -> None:
        self._limits = limits
        self._dialer = Dialer(limits, ssl_context, resolve)
        self._pools: dict[Origin, Pool] = {}
        self._counts = Counts()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reaper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Sends a request; returns when the answer's status and headers are there. Raises UpstreamError.

        ValueError means that the request itself is malformed; nothing has been sent then. If the caller is cancelled,
        here or while reading the answer, the connection is closed.
        """
        loop = self._loop or self._bind()
        now = loop.time()
        pool = self._pools.get(request.origin) or self._pool_of(loop, request.origin)
        head, body = compose(request, pool.host_line)
        connection = pool.take(now) or await pool.acquire(deadlines, now)
        return await connection.exchange(
            head, body, deadlines, now + deadlines.total_seconds, request.method == b"HEAD"
        )

    def stats(self) -> ClientStats:
        """Counts for the metrics."""
        pools = self._pools.values()
        return ClientStats(
            open=sum(pool.open for pool in pools),
            idle=sum(pool.idle for pool in pools),
            waiting=sum(pool.waiting for pool in pools),
            reused=self._counts.reused,
            created=self._counts.created,
            closed=self._counts.closed,
        )

    async def close(self) -> None:
        """Closes every connection, those in use too; later calls are refused. Drain first to lose nothing."""
        self._is_closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        for pool in list(self._pools.values()):
            pool.close()
        self._pools.clear()
        await asyncio.sleep(0)  # lets the transports close their sockets

    def has_idle(self) -> None:
        """From a pool: a connection rests, so somebody has to look at the clock."""
        if self._reaper is None and self._loop is not None:
            self._reaper = self._loop.call_later(self._limits.idle_seconds * _REAP_PART, self._reap)

    def _reap(self) -> None:
        assert self._loop is not None
        self._reaper = None
        now = self._loop.time()
        for pool in list(self._pools.values()):
            pool.reap(now)
        if any(pool.idle for pool in self._pools.values()):
            self.has_idle()

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _pool_of(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> Pool:
        if self._is_closed:
            raise ConnectFailed("the client is closed")
        for gone in [each for each, unused in self._pools.items() if unused.is_unused]:
            del self._pools[gone]  # so that origins that are never called again do not pile up
        pool = Pool(loop, origin, self._limits, self._dialer, self._counts, self)
        self._pools[origin] = pool
        return pool
