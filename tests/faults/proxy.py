"""TCP links that can be cut, slowed, silenced or made to swallow replies, one proxy a link.

A link is what stands between one process and one server. Everything is done on the loop that runs the proxy; the
`set_…` calls may come from any thread.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Mode = Literal["open", "cut", "silent", "deaf"]
"""`cut`: connections are reset, new ones too. `silent`: nothing passes either way, and nobody is told. `deaf`: requests
arrive, replies do not."""

_CHUNK = 1 << 16


@dataclass
class LinkCounts:
    """What a link has carried."""

    connections: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class Link:
    """One proxied link. `serve` before use, `close` at the end, both on its loop."""

    def __init__(self, name: str, port: int, target_port: int) -> None:
        self.name = name
        self.port = port
        self.counts = LinkCounts()
        self._target_port = target_port
        self._mode: Mode = "open"
        self._audible = asyncio.Event()
        self._audible.set()
        self._delay_seconds = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Stop listening and reset what is open."""
        if self._server is not None:
            self._server.close()
        self._reset()

    def set_mode(self, mode: Mode) -> None:
        """Break the link, or heal it. Connections that lived through silence or swallowed replies are reset then: their
        peers no longer agree on what was said."""
        self._call(self._apply, mode)

    def set_delay(self, seconds: float) -> None:
        """Hold everything back for so long, each way; 0 heals."""
        self._delay_seconds = seconds

    def reset(self) -> None:
        """Reset what is open; new connections are let through."""
        self._call(self._reset)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None, "not serving"
        self._loop.call_soon_threadsafe(function, *arguments)

    def _apply(self, mode: Mode) -> None:
        if mode == "cut" or self._mode in ("silent", "deaf"):
            self._reset()
        self._mode = mode
        if mode == "silent":
            self._audible.clear()
        else:
            self._audible.set()

    def _reset(self) -> None:
        for writer in self._writers:
            _abort(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.counts.connections += 1
        try:
            if self._mode == "cut":
                _abort(writer)
                return
            await self._audible.wait()
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            _abort(writer)
        finally:
            self._writers.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers.add(there_writer)
        try:
            up = asyncio.create_task(self._pump(reader, there_writer, is_reply=False))
            down = asyncio.create_task(self._pump(there_reader, writer, is_reply=True))
            await asyncio.wait({up, down})
        finally:
            self._writers.discard(there_writer)
            there_writer.transport.abort()
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        with suppress(OSError):
            while passed := await reader.read(_CHUNK):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._audible.wait()
                if is_reply:
                    self.counts.bytes_down += len(passed)
                else:
                    self.counts.bytes_up += len(passed)
                if is_reply and self._mode == "deaf":
                    continue
                writer.write(passed)
                await writer.drain()
            writer.write_eof()
            return
        _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Reset instead of an orderly end."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
