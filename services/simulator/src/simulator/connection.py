"""The caller's end of one HTTP exchange: reading its body, writing to it, noticing that it left, leaving it.

ASGI can neither close a connection in the middle of an answer nor tell cheaply whether it is still there; a provider
that fails does the one and a stream of thousands of chunks needs the other. So the server's protocol is extended to
hand its transport along, and everything that knows of it stands here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.refusals import Refusal

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LARGEST_BODY = 128 * 1024 * 1024
LONGEST_NAP_SECONDS = 0.05
"""Shorter waits look for a hang-up only afterwards; it saves watching for it."""
LONGEST_FLUSH_SECONDS = 5.0

TRANSPORT = "simulator.transport"


class HeldTransport:
    """A transport that can hold writes back for a moment: the server writes head and body of a response apart, which
    is two packets and two system calls where one does."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None
        self.is_closing = transport.is_closing
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def hold(self) -> None:
        """Keeps what is written from now on, until `release`."""
        self._held = []

    def release(self) -> None:
        """Writes what was kept."""
        held, self._held = self._held, None
        if held:
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Closes the connection once everything written, what was kept included, has left."""
        self.release()
        self._transport.close()

    def write(self, written: bytes) -> None:
        """Writes, or keeps."""
        if self._held is None:
            self._transport.write(written)
        else:
            self._held.append(written)


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with its transport, which can be held, in each call's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._extensions = {TRANSPORT: HeldTransport(transport)}
        super().connection_made(self._extensions[TRANSPORT])  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]


class Connection:
    """One exchange with one caller. Every wait is bounded."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self._receive = receive
        self.send = send
        self._transport: HeldTransport = scope["extensions"][TRANSPORT]
        self.headers: Headers = scope["headers"]
        self.path: str = scope["path"]
        self._is_finished = False

    @property
    def is_gone(self) -> bool:
        """Whether the caller has hung up (or was left)."""
        return self._transport.is_closing()

    async def read_body(self) -> bytes:
        """The whole body of the request. Raises Refusal 413 past the limit."""
        message = await self._receive()
        if not message.get("more_body"):
            return message.get("body", b"")  # type: ignore[no-any-return]
        parts, length = [message["body"]], len(message["body"])
        while message.get("more_body"):
            message = await self._receive()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > LARGEST_BODY:
                raise Refusal(413)
        return b"".join(parts)

    async def wait(self, seconds: float) -> None:
        """Waits so long, less when the caller hangs up meanwhile."""
        if seconds <= LONGEST_NAP_SECONDS:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wait_until_gone()
        except TimeoutError:
            pass

    async def wait_for(self, event: asyncio.Event, seconds: float) -> None:
        """Waits for the event, less when the caller hangs up meanwhile, so long at most."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._wait_until_gone())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def start(self, status: int, headers: Headers) -> None:
        """Sends the status and the headers."""
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes) -> None:
        """Sends a part of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, body: bytes = b"") -> None:
        """Sends the body's last part."""
        self._is_finished = True
        await self.send({"type": "http.response.body", "body": body})

    async def whole(self, status: int, headers: Headers, content_type: bytes, body: bytes) -> None:
        """Sends a whole response, in one write."""
        length = (b"content-length", b"%d" % len(body))
        self._transport.hold()
        try:
            await self.start(status, [(b"content-type", content_type), length, *headers])
            await self.finish(body)
        finally:
            self._transport.release()

    async def leave(self) -> None:
        """Closes the connection, unless its response is complete: first what was written may leave."""
        if self._is_finished:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(LONGEST_FLUSH_SECONDS):
                await self._wait_until_gone()
        except TimeoutError:
            await self.drop()

    async def drop(self) -> None:
        """Closes the connection at once."""
        self._transport.abort()
        await self._wait_until_gone()

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
