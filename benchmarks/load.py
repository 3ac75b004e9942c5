"""A closed loop of callers, each over one connection of its own: how many calls, how long each took, how many chunks.

Connections stay open from run to run, as those of clients do: what it costs to accept them is not measured. It speaks
HTTP/1.1 by hand, since a client library would cost more than the gateway it measures. Answers are read to their end and
their framing checked; a call that fails stops the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_READ = 1 << 16


@dataclass
class Result:
    """What a run saw; times in seconds."""

    calls: int = 0
    chunks: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)

    def percentile(self, share: float, of: str = "latencies") -> float:
        """The latency below which this share of the calls lies."""
        ordered = sorted(getattr(self, of))
        return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))])


@dataclass(frozen=True)
class Target:
    """Where to send which request."""

    url: str
    key: str
    body: bytes

    def request(self) -> bytes:
        """The whole request as bytes."""
        parts = urlsplit(self.url)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class CallFailed(Exception):
    """An answer was not what it should be."""


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Callers:
    """Callers of one target, each with its line."""

    target: Target
    lines: Sequence[Line]

    async def run(self, calls: int) -> Result:
        """Make so many calls."""
        result, request, left = Result(), self.target.request(), iter(range(calls))

        async def caller(line: Line) -> None:
            for _ in left:
                await _call(*line, request, result)

        began = time.perf_counter()
        await asyncio.gather(*map(caller, self.lines))
        result.seconds = time.perf_counter() - began
        return result


@asynccontextmanager
async def callers(target: Target, connections: int) -> AsyncIterator[Callers]:
    """So many callers, connected."""
    parts = urlsplit(target.url)
    lines = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(connections)]
    try:
        yield Callers(target, lines)
    finally:
        for _, writer in lines:
            writer.close()


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, result: Result) -> None:
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    first = time.perf_counter()
    if not head.startswith(b"HTTP/1.1 200"):
        raise CallFailed(head.partition(b"\r\n")[0].decode() + " " + (await reader.read(600)).decode(errors="replace"))
    lowered = head.lower()
    if b"content-length:" in lowered:
        length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    else:
        body = await reader.readuntil(b"0\r\n\r\n")
        if b"data: [DONE]\n\n" not in body:
            raise CallFailed("a stream ended without [DONE]")
        result.chunks += body.count(b"data: {")
    result.calls += 1
    result.first_bytes.append(first - began)
    result.latencies.append(time.perf_counter() - began)
