"""The gateway's own line to NATS, for publishing and nothing else: what is published in one turn of the loop leaves in one
write, and an answer is handed on where it is read.

The general client validates, copies and queues each message and wakes a task for each answer, which took a tenth of a
whole call. It remains what mirrors and everything else use (`common.bus`).

The line is kept up: it goes round the servers that NATS names until one answers. What was sent when it broke may or may
not have been stored; whoever waits is told at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import msgspec
import structlog

log = structlog.get_logger()

_PORT = 4222
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0)
_PING_SECONDS = 5.0
_MOST_SILENT = 2
_MOST_UNSENT_BYTES = 8 << 20
_MOST_UNREAD_BYTES = 1 << 20
_MOST_SERVERS = 32

_END = b"\r\n"
_PING, _PONG = b"PING\r\n", b"PONG\r\n"
_VERSION = b"NATS/1.0\r\n"


class NatsAway(Exception):
    """There is no line, or the message does not fit through it: nothing was sent."""


class _About(msgspec.Struct):
    """What a server says of itself."""

    max_payload: int = 1 << 20
    tls_required: bool = False
    connect_urls: list[str] = []


_decode_about = msgspec.json.Decoder(_About).decode

OnAnswer = Callable[[str, bytes], None]
"""Called with the token of a message and what the server answered to it; empty where nobody keeps such messages."""

Place = tuple[str, int]
"""Host and port."""


class NatsLine:
    """One connection that is kept up; `run` is a task. Answers come to `<inbox>.<token>`; `on_lost` is called when those
    that have not come will not."""

    def __init__(self, url: str, name: str, inbox: str, on_answer: OnAnswer, on_lost: Callable[[], None]) -> None:
        self._url = urlsplit(url)
        self._name = name
        self._inbox = inbox
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._given: Place = (self._url.hostname or "localhost", self._url.port or _PORT)
        self._places = [self._given]
        self._protocol: _Protocol | None = None
        self.connected = asyncio.Event()

    def publish(self, subject: str, token: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send a message. Raises NatsAway."""
        protocol = self._protocol
        if protocol is None or protocol.is_behind:
            raise NatsAway("not connected" if protocol is None else "too much is unsent")
        if len(body) > protocol.about.max_payload:
            raise NatsAway("larger than the server takes")
        protocol.send(_message(subject, f"{self._inbox}.{token}", headers, body))

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        tries = turn = 0
        while True:
            place = self._places[turn % len(self._places)]
            turn += 1  # a server that was lost is not the next to be asked, where there are others
            try:
                protocol = await self._connect(place)
            except (OSError, TimeoutError, NatsAway) as error:
                if tries == 0:
                    log.warning("publishing_line_away", error=type(error).__name__, why=str(error)[:200])
                await asyncio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
                tries += 1
                continue
            tries = 0
            self._protocol = protocol
            self.connected.set()
            try:
                await _keep(protocol)
            finally:
                self._protocol = None
                self.connected.clear()
                protocol.close()
                self._on_lost()

    async def _connect(self, place: Place) -> _Protocol:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_SECONDS):
            transport, protocol = await loop.create_connection(
                lambda: _Protocol(self._answered, self._heard_of), *place
            )
            try:
                about = await protocol.greeted
                if about.tls_required or self._url.scheme == "tls":
                    context = ssl.create_default_context()
                    secured = await loop.start_tls(transport, protocol, context, server_hostname=place[0])
                    protocol.connection_made(secured or transport)
                protocol.send(_introduction(self._url, self._name, self._inbox))
                await protocol.accepted
            except BaseException:
                protocol.close()
                raise
        return protocol

    def _answered(self, subject: str, body: bytes) -> None:
        self._on_answer(subject[len(self._inbox) + 1 :], body)

    def _heard_of(self, about: _About) -> None:
        """The servers of a cluster are where its members say; the one that was given stays the first."""
        places = [urlsplit(f"//{one}") for one in about.connect_urls[:_MOST_SERVERS]]
        others = [(place.hostname, place.port or _PORT) for place in places if place.hostname]
        self._places = list(dict.fromkeys([self._given, *others]))


class _Protocol(asyncio.Protocol):
    """Messages out, answers in. `greeted`: what the server says of itself; `accepted`: it knows us."""

    def __init__(self, on_message: Callable[[str, bytes], None], on_about: Callable[[_About], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_about = on_about
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._unread = b""
        self.about = _About()
        self.is_behind = False
        self.has_spoken = True
        self.greeted: asyncio.Future[_About] = self._loop.create_future()
        self.accepted: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def send(self, message: bytes) -> None:
        """Send, with all else of this turn of the loop."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._transport.set_write_buffer_limits(high=_MOST_UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        for waited in (self.greeted, self.accepted):
            if not waited.done():
                waited.set_exception(NatsAway("the server closed the connection"))
                waited.exception()  # seen, if nobody waits
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        self.is_behind = True

    def resume_writing(self) -> None:
        self.is_behind = False

    def data_received(self, received: bytes) -> None:
        self.has_spoken = True
        unread = self._unread + received if self._unread else received
        at = 0
        while (end := unread.find(_END, at)) >= 0:
            line = unread[at:end]
            if not line.startswith((b"MSG ", b"HMSG ")):
                self._control(line)
                at = end + 2
                continue
            words = line.split(b" ")
            ends = end + 2 + int(words[-1])
            if len(unread) < ends + 2:
                break
            begins = end + 2 + (int(words[-2]) if line.startswith(b"H") else 0)
            self._on_message(words[1].decode(), unread[begins:ends])
            at = ends + 2
        self._unread = unread[at:]
        if len(self._unread) > _MOST_UNREAD_BYTES:
            log.error("publishing_line_unreadable")
            self.close()

    def _control(self, line: bytes) -> None:
        if line == b"PING":
            self.send(_PONG)
        elif line == b"PONG":
            if not self.accepted.done():
                self.accepted.set_result(None)
        elif line.startswith(b"INFO "):
            self.about = _decode_about(line[5:])
            self._on_about(self.about)
            if not self.greeted.done():
                self.greeted.set_result(self.about)
        elif line.startswith(b"-ERR"):
            why = line[5:].decode("utf-8", "replace")
            if self.greeted.done() and not self.accepted.done():
                self.accepted.set_exception(NatsAway(why))
            else:
                log.warning("publishing_line_refused", why=why[:200])

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()


async def _keep(protocol: _Protocol) -> None:
    """Return when the line has broken, or the server says nothing any more, not even when it is asked."""
    silent = 0
    while silent < _MOST_SILENT:
        protocol.has_spoken = False
        protocol.send(_PING)
        await asyncio.wait([protocol.lost], timeout=_PING_SECONDS)
        if protocol.lost.done():
            return
        silent = 0 if protocol.has_spoken else silent + 1
    log.warning("publishing_line_silent", seconds=_PING_SECONDS * _MOST_SILENT)


def _introduction(url: SplitResult, name: str, inbox: str) -> bytes:
    """Who we are, where answers are to go, and whether that is all right."""
    about: dict[str, Any] = {
        "verbose": False, "pedantic": False, "lang": "python", "version": "1", "protocol": 1, "name": name,
        "headers": True, "no_responders": True, "echo": False,
    }  # fmt: skip
    if url.username and url.password:
        about |= {"user": url.username, "pass": url.password}
    elif url.username:
        about["auth_token"] = url.username
    return b"CONNECT %b\r\nSUB %b.* 1\r\n%b" % (msgspec.json.encode(about), inbox.encode(), _PING)


def _message(subject: str, reply: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """One message as it goes out. Raises NatsAway for words that would become others on the line."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not subject.isprintable() or " " in subject or lines.count("\n") != len(headers):
        raise NatsAway("no such subject or header")
    block = b"%b%b\r\n" % (_VERSION, lines.encode())
    size = len(block)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject.encode(), reply.encode(), size, size + len(body), block, body)
