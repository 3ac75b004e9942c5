"""The gateway's connection to Redis: all commands of one turn of the event loop in one write, replies matched by order.

A general client costs more CPU than the rest of a call together, because each command takes a connection, a write and a
wake-up of its own. Here commands are appended to one buffer that is written once a turn, and replies come back in the
order of the commands, so one connection carries all calls.

A caller that is cancelled leaves its place in the queue: its reply is read and dropped, never handed to another. When a
reply is late the connection is closed and everything in flight fails with it, since nobody can tell any more what has
happened; scripts are idempotent, so whoever asks again is safe.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis
import structlog

from gateway.limits.packing import Argument, Packed, joined, packed

log = structlog.get_logger()

_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
_MAX_IN_FLIGHT = 20_000


class RedisAway(Exception):
    """Redis did not answer, or not in time: what was asked may or may not have happened."""


class RedisRefused(Exception):
    """Redis answered with an error."""


class RedisLine:
    """One connection that is kept up; `run` is a task. `server` is the run id of the server it leads to: after a restart
    or a failover there is another, which may have lost what this one promised."""

    def __init__(self, url: str, timeout_seconds: float, on_connect: Sequence[Sequence[Argument]] = ()) -> None:
        self._url = urlsplit(url)
        self._timeout = timeout_seconds
        self._greeting = [*self._introduction(), *on_connect, ("INFO", "server")]
        self._protocol: _Protocol | None = None
        self.server = ""
        self.connected = asyncio.Event()

    def ask(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command; the reply as a future. Fails with RedisAway or RedisRefused."""
        return self.ask_packed(packed(*command))

    def ask_packed(self, *parts: Packed) -> asyncio.Future[Any]:
        """`ask`, of a command in parts that are packed already."""
        protocol = self._protocol
        if protocol is None:
            raise RedisAway("not connected")
        return protocol.ask(joined(*parts))

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        attempt = 0
        while True:
            try:
                protocol = await self._connect()
            except (OSError, TimeoutError, RedisAway, RedisRefused) as error:
                if attempt == 0:
                    log.warning("redis_away", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
                continue
            attempt = 0
            self._protocol = protocol
            self.connected.set()
            try:
                await protocol.lost
            finally:
                self._protocol = None
                self.connected.clear()
                protocol.close()

    async def _connect(self) -> _Protocol:
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context() if self._url.scheme == "rediss" else None
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, protocol = await loop.create_connection(
                lambda: _Protocol(self._timeout), self._url.hostname or "localhost", self._url.port or 6379, ssl=tls
            )
            try:
                *_, about = await asyncio.gather(*[protocol.ask(joined(packed(*line))) for line in self._greeting])
                self.server = _run_id(about)
            except BaseException:
                protocol.close()
                raise
        return protocol

    def _introduction(self) -> list[tuple[Argument, ...]]:
        lines: list[tuple[Argument, ...]] = []
        password, user = self._url.password, self._url.username
        if password:
            lines.append(("AUTH", unquote(user), unquote(password)) if user else ("AUTH", unquote(password)))
        database = self._url.path.strip("/")
        if database and database != "0":
            lines.append(("SELECT", database))
        return lines or [("PING",)]


class _Protocol(asyncio.Protocol):
    """Commands out, replies in."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        if self.lost.done() or len(self._waiting) >= _MAX_IN_FLIGHT:
            raise RedisAway("connection lost" if self.lost.done() else "too many commands in flight")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((future, self._loop.time() + self._timeout))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look_at_clock)
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, received: bytes) -> None:
        self._reader.feed(received)
        while (reply := self._reader.gets()) is not False:
            future, _ = self._waiting.popleft()
            if future.done():
                continue
            if isinstance(reply, hiredis.ReplyError):
                future.set_exception(RedisRefused(str(reply)))
            else:
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for future, _ in self._waiting:
            if not future.done():
                future.set_exception(RedisAway("connection lost"))
                future.add_done_callback(_seen)
        self._waiting.clear()
        if not self.lost.done():
            self.lost.set_result(None)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _look_at_clock(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        oldest = self._waiting[0][1]
        if self._loop.time() < oldest:
            self._watch = self._loop.call_at(oldest, self._look_at_clock)
            return
        log.warning("redis_too_slow", in_flight=len(self._waiting), seconds=self._timeout)
        self.close()


def _run_id(about: bytes) -> str:
    """`run_id` of what `INFO server` tells; RedisRefused when it tells none."""
    for line in about.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return value
    raise RedisRefused("the server does not tell its run id")


def _seen(future: asyncio.Future[Any]) -> None:
    # A caller that has gone away never asks for its error; without this asyncio would complain in the log.
    with suppress(asyncio.CancelledError):
        future.exception()
