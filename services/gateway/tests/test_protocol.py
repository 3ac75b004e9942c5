"""The door's HTTP/1.1: how answers are framed, and what is never sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from common.testing.serving import serving
from gateway.api import protocol
from gateway.api.protocol import LINE, ClientProtocol
from gateway.shapes import Header

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def start(*headers: Header, status: int = 200) -> dict[str, Any]:
    """The head of an answer."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes, *, is_last: bool = False) -> dict[str, Any]:
    """A part of its body."""
    return {"type": "http.response.body", "body": body, "more_body": not is_last}


@asynccontextmanager
async def door(
    play: Callable[[dict[str, Any], Receive, Send], Awaitable[None]],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an app that answers with `play`."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        await play(scope, receive, send)

    async with serving(app, http=ClientProtocol) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        try:
            async with asyncio.timeout(10):
                yield reader, writer
        finally:
            writer.close()


def asked(path: str = "/", method: str = "GET", more: str = "") -> bytes:
    """A request."""
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n".encode()


async def answered(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """An answer's head without its date and server, and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith((b"date:", b"server:"))]
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
    if length is not None:
        return b"\n".join(lines), await reader.readexactly(length)
    return b"\n".join(lines), await reader.readuntil(b"0\r\n\r\n")


async def test_what_tells_its_length_goes_as_it_is_and_all_else_in_chunks() -> None:
    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(start((b"x-a", b"1"), *([(b"content-length", b"4")] if scope["path"] == "/told" else [])))
        await send(part(b"ab"))
        await send(part(b""))
        await send(part(b"cd", is_last=True))

    async with door(play) as (reader, writer):
        writer.write(asked("/told"))
        assert await answered(reader) == (b"HTTP/1.1 200 OK\nx-a: 1\ncontent-length: 4\n\n", b"abcd")
        writer.write(asked("/untold"))
        head, body = await answered(reader)
        assert head == b"HTTP/1.1 200 OK\nx-a: 1\ntransfer-encoding: chunked\n\n"
        assert body == b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"


async def test_requests_that_come_at_once_are_answered_in_their_order_each_with_its_own_body() -> None:
    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05 if scope["path"] == "/1" else 0)
        body = scope["path"].encode() + (await receive())["body"]
        await send(start((b"content-length", b"%d" % len(body))))
        await send(part(body, is_last=True))

    async with door(play) as (reader, writer):
        said = asked("/1", "POST", "content-length: 1\r\n") + b"x" + asked("/2", "POST", "content-length: 1\r\n") + b"y"
        writer.write(said + asked("/3"))
        assert [(await answered(reader))[1] for _ in range(3)] == [b"/1x", b"/2y", b"/3"]


async def test_it_is_known_whether_a_body_has_come_whole() -> None:
    whole: list[bool] = []

    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        line = scope["extensions"][LINE]
        whole.append(line.has_come())
        body = b""
        while not body.endswith(b"!"):
            body += (await receive())["body"]
        whole.append(line.has_come())
        await send(start((b"content-length", b"%d" % len(body))))
        await send(part(body, is_last=True))

    async with door(play) as (reader, writer):
        for pieces in ((b"ab", b"!"), (b"ab!",)):
            writer.write(asked("/", "POST", "content-length: 3\r\n") + pieces[0])
            for piece in pieces[1:]:
                await asyncio.sleep(0.05)
                writer.write(piece)
            assert (await answered(reader))[1] == b"ab!"
    assert whole == [False, True, True, True]


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"4")]])
async def test_the_answer_to_head_has_no_body(headers: list[Header]) -> None:
    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(start(*headers))
        await send(part(b"abcd", is_last=True))

    async with door(play) as (reader, writer):
        writer.write(asked(method="HEAD") + asked(more="connection: close\r\n"))
        first = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" not in first
        assert (b"content-length: 4" in first) == bool(headers)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_line_that_is_not_to_be_kept_is_closed_after_its_answer() -> None:
    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(start((b"content-length", b"2")))
        await send(part(b"ok", is_last=True))

    async with door(play) as (reader, writer):
        writer.write(asked(more="connection: close\r\n"))
        head, body = await answered(reader)
        assert (body, await reader.read()) == (b"ok", b"")
        assert b"connection: close" in head


@pytest.mark.parametrize("value", [b"a\r\nx-forged: 1", b"a\nb", b"a\rb", b"\x00", b"\x7f"])
@pytest.mark.filterwarnings("ignore")
async def test_a_header_that_would_become_two_is_not_sent(value: bytes) -> None:
    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError):
            await send(start((b"x-model", value)))

    async with door(play) as (reader, writer):
        writer.write(asked())
        assert await reader.read() == b""


@pytest.mark.parametrize("body", [b"abc", b"abcde"], ids=["shorter", "longer"])
async def test_an_answer_of_another_length_than_it_says_cuts_the_line(body: bytes) -> None:
    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(start((b"content-length", b"4")))
        with pytest.raises(RuntimeError):
            await send(part(body, is_last=True))

    async with door(play) as (reader, writer):
        writer.write(asked() + asked())
        assert await reader.read() == b""  # nor is the second request answered in place of the first


async def test_an_answer_that_is_not_ended_cuts_the_line() -> None:
    async def play(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(start())
        await send(part(b"ab"))

    async with door(play) as (reader, writer):
        writer.write(asked())
        assert (await reader.read()).endswith(b"\r\n\r\n2\r\nab\r\n")


async def play_ok(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer after a while."""
    await asyncio.sleep(0.3)
    await send(start((b"content-length", b"2")))
    await send(part(b"ok", is_last=True))


@pytest.mark.parametrize(
    "said", [b"", b"\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n"], ids=["nothing", "no word", "half a head"]
)
async def test_who_does_not_ask_to_the_end_is_cut_off(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with door(play_ok) as (reader, writer):
        writer.write(asked())
        assert (await answered(reader))[1] == b"ok"
        monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
        writer.write(said or b"\r\n")
        assert await reader.read() == b""
    async with door(play_ok) as (reader, writer):
        writer.write(said)
        assert await reader.read() == b""


async def test_who_asks_in_time_may_ask_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 2.0)
    async with door(play_ok) as (reader, writer):
        for _ in range(8):  # which takes longer
            writer.write(asked()[:20])
            await asyncio.sleep(0.05)
            writer.write(asked()[20:])
            assert (await answered(reader))[1] == b"ok"
