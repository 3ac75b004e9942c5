"""A provider made of a script, on a real loopback socket; every story runs on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
import uvloop
from gateway.upstream.client import ClientLimits, Deadlines, Origin, Resolver, UpstreamClient, UpstreamRequest

PATIENT = Deadlines(connect_seconds=5, first_byte_seconds=5, between_chunks_seconds=5, total_seconds=20)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop where it is installed; transports differ enough to try both."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Received:
    """A request as the provider read it."""

    head: bytes
    body: bytes


@dataclass(eq=False)
class Talk:
    """One connection as the provider sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[Received] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> Received | None:
        """The next request; None when the client has gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next((line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b"0")
            received = Received(head, await self.reader.readexactly(int(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
            return None
        self.requests.append(received)
        return received

    async def say(self, *pieces: bytes) -> None:
        """Each piece in a write of its own, with a turn of the loop between."""
        for piece in pieces:
            if self.writer.is_closing():
                raise ConnectionResetError  # what asyncio's transport says late, and uvloop's as a RuntimeError
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self, body: bytes, extra: bytes = b"") -> None:
        await self.say(b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%b" % (extra, len(body), body))

    async def hear_end(self) -> None:
        """For scripts: reads on until the client has closed the connection."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass
        self.gone.set()

    async def hung_up(self) -> bool:
        """For tests: waits until the script has seen that the client closed the connection."""
        return await asyncio.wait_for(self.gone.wait(), 5)

    def close(self) -> None:
        self.writer.close()


Script = Callable[[Talk], Awaitable[None]]


@dataclass
class Provider:
    """A listening script: where it is, and every connection it has had."""

    origin: Origin
    talks: list[Talk] = field(default_factory=list)

    @property
    def requests(self) -> list[Received]:
        return [received for talk in self.talks for received in talk.requests]

    def ask(self, target: bytes = b"/", method: bytes = b"POST", body: bytes | None = b"{}") -> UpstreamRequest:
        return UpstreamRequest(method, self.origin, target, b"", body)


async def _speak(script: Script, talk: Talk) -> None:
    try:
        await script(talk)
    except ConnectionError:
        talk.gone.set()
    finally:
        talk.close()


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Provider]]]:
    """`await serve(script, ssl=None)` starts a provider; all of them stop with the test."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(script: Script, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Provider:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talk = Talk(reader, writer)
            provider.talks.append(talk)
            task = asyncio.get_running_loop().create_task(_speak(script, talk))
            tasks.add(task)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        provider = Provider(Origin("https" if tls else "http", name, port))
        return provider

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


@pytest.fixture(scope="session")
def system_tls() -> ssl.SSLContext:
    """What the client makes for itself when given nothing, made once: reading the system's certificates is slow."""
    return ssl.create_default_context()


@pytest_asyncio.fixture
async def make_client(system_tls: ssl.SSLContext) -> AsyncIterator[Callable[..., UpstreamClient]]:
    """`make_client(**limits)`; closes what it made and checks that nothing stays open."""
    clients: list[UpstreamClient] = []

    def make(tls: ssl.SSLContext | None = None, resolve: Resolver | None = None, **limits: float) -> UpstreamClient:
        clients.append(UpstreamClient(ClientLimits(**limits), tls or system_tls, resolve))  # type: ignore[arg-type]
        return clients[-1]

    yield make
    for client in clients:
        await client.close()
        stats = client.stats()
        assert (stats.open, stats.idle, stats.waiting) == (0, 0, 0)
        assert stats.created == stats.closed


@pytest.fixture
def client(make_client: Callable[..., UpstreamClient]) -> UpstreamClient:
    return make_client()


@pytest.fixture
def patient() -> Deadlines:
    return PATIENT


async def until(holds: Callable[[], bool]) -> None:
    """Waits until something is so; fails after five seconds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  (what is watched has no event to wait for)
            await asyncio.sleep(0.005)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    return until
