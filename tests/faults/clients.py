"""One client's call over a bare socket, so that what arrived, and when, is known to the byte.

A client hangs up by resetting its connection. It writes down what it saw: a whole answer, a broken one, a refusal.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass

from common.readings import PLAIN

from .journals import ClientCall

_PATIENCE_SECONDS = 90.0
_MARKER = re.compile(rb'"model":\s*"(m-[^"]*)"')
_CONTENT = re.compile(rb'"content":\s*"[^"]')


@dataclass(frozen=True)
class Order:
    """What a client is to do. `hang_up_after`: content chunks after which it leaves; 0: before the answer's head."""

    number: int
    at_seconds: float
    """When, from the beginning of the round."""
    key: str
    gateway: int
    streamed: bool
    tokens: int
    chunk_ms: int
    max_tokens: int | None
    hang_up_after: int | None
    text: str
    is_directed: bool = True
    """Whether the message itself tells the simulator what to answer; else a standing rule does."""

    @property
    def marker(self) -> str:
        """The name that the provider's answer will go by."""
        return f"m-{self.number}-{self.tokens}"

    def body(self) -> bytes:
        """The request's JSON."""
        directives = f"[[simulate tokens={self.tokens} chunk_ms={self.chunk_ms} served_model={self.marker}]] "
        told = (directives if self.is_directed else "") + self.text
        members: dict[str, object] = {"model": "gpt-4", "messages": [{"role": "user", "content": told}]}
        if self.max_tokens is not None:
            members["max_tokens"] = self.max_tokens
        if self.streamed:
            members |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(members).encode()


async def place(order: Order, secret: str, key_id: str, gateways: list[tuple[str, int]]) -> ClientCall:
    """Make the call at its gateway, or at the next one where nobody listens; what the client saw of it."""
    seen = ClientCall(
        number=order.number,
        key_id=key_id,
        gateway="",
        marker=order.marker,
        streamed=order.streamed,
        wanted_tokens=order.tokens,
        began_at=time.time(),
        least=(len(order.body()) + PLAIN.added_tokens, order.max_tokens or 1),
    )
    for turn in range(2 * len(gateways)):
        seen.gateway, port = gateways[(order.gateway + turn) % len(gateways)]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        seen.began_at = time.time()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await _talk(order, secret, seen, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError):
            seen.is_complete = False
        finally:
            writer.transport.abort()
        break
    seen.ended_at = time.time()
    return seen


async def _talk(
    order: Order, secret: str, seen: ClientCall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    body = order.body()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: tollgate\r\nconnection: close\r\n"
        f"authorization: Bearer {secret}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    if order.hang_up_after == 0:
        await asyncio.sleep(order.chunk_ms * order.tokens / 2000)
        seen.hung_up = True
        return
    headers = await _read_head(reader, seen)
    if headers.get("transfer-encoding") == "chunked":
        await _read_chunks(order, seen, reader)
    else:
        _take(seen, await reader.readexactly(int(headers.get("content-length", "0"))))
        seen.is_complete = seen.status == 200 and not seen.streamed


async def _read_head(reader: asyncio.StreamReader, seen: ClientCall) -> dict[str, str]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    seen.request_id, seen.retry_after = headers.get("x-request-id"), headers.get("retry-after")
    seen.status = status
    return headers


async def _read_chunks(order: Order, seen: ClientCall, reader: asyncio.StreamReader) -> None:
    whole = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        piece = await reader.readexactly(size + 2)
        whole += piece[:-2]
        _take(seen, piece)
        if order.hang_up_after is not None and seen.chunks >= order.hang_up_after:
            seen.hung_up = True
            return
    await reader.readexactly(2)
    seen.is_complete = seen.status == 200 and (not seen.streamed or whole.endswith(b"data: [DONE]\n\n"))


def _take(seen: ClientCall, piece: bytes) -> None:
    seen.markers.update(marker.decode("latin-1") for marker in _MARKER.findall(piece))
    seen.chunks += len(_CONTENT.findall(piece))
    if seen.status >= 400:
        try:
            seen.reason = str(json.loads(piece)["error"]["reason"])
        except (ValueError, KeyError, TypeError):
            seen.reason = None
