"""A provider that a test plays itself, over plain sockets: it keeps what it got, and answers byte by byte as told.

The simulator answers as providers do; this one answers as none should, and echoes what it was asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\n"
STREAM_HEAD = HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Got:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        read: dict[str, Any] = json.loads(self.body)
        return read

    @property
    def words(self) -> str:
        """The last thing said."""
        return str(self.json["messages"][-1]["content"])


Play = Callable[[Got, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class OwnProvider:
    """The server: `play` answers each request; `running` counts those that are being answered."""

    play: Play
    got: list[Got] = field(default_factory=list)
    running: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = [line.partition(":") for line in head.split("\r\n")[1:] if line]
                headers = {name.lower(): value.strip() for name, _, value in lines}
                got = Got(headers, await reader.readexactly(int(headers.get("content-length", "0"))))
                self.got.append(got)
                self.running += 1
                try:
                    await self.play(got, writer)
                    await writer.drain()
                finally:
                    self.running -= 1
        writer.close()


@asynccontextmanager
async def own_provider(play: Play) -> AsyncIterator[OwnProvider]:
    """The server on a free port."""
    provider = OwnProvider(play)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, limit=1 << 26)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
    finally:
        server.close()


def whole(content: str, **members: Any) -> bytes:
    """A whole answer, with its head."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    told = {
        "id": "own-1",
        "object": "chat.completion",
        "created": 7,
        "model": "echo",
        "choices": [choice],
        "usage": usage,
    }
    body = json.dumps({**told, **members}).encode()
    return HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def piece(content: bytes) -> bytes:
    """A chunk of HTTP."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def delta(content: str, finish: str | None = None) -> bytes:
    """An event of a stream, as a chunk of HTTP."""
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    told = {"id": "own-1", "object": "chat.completion.chunk", "created": 7, "model": "echo", "choices": [choice]}
    return piece(b"data: " + json.dumps(told).encode() + b"\n\n")


USAGE = piece(b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}\n\n')
DONE = piece(b"data: [DONE]\n\n")
END = b"0\r\n\r\n"


async def echo(got: Got, writer: asyncio.StreamWriter) -> None:
    """Say again what was said, whole or word by word."""
    if not got.json.get("stream"):
        writer.write(whole(got.words))
        return
    writer.write(STREAM_HEAD)
    for word in got.words.split(" "):
        writer.write(delta(word + " "))
    writer.write(delta("", "stop") + USAGE + DONE + END)
