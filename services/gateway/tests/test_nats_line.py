"""The line that events leave by: stored and known to be, or known not to be, whatever the server does."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from common.bus.connect import connect
from common.bus.provision import provision
from common.contracts.envelope import event_headers
from common.servers.nats import MAX_PAYLOAD_BYTES, start_nats
from common.servers.ports import free_port
from common.testing.certificates import write_certificate
from gateway import nats_line
from gateway.publisher import NotStored, Publisher
from hypothesis import given
from hypothesis import strategies as st

SUBJECT = "usage.recorded.openai.key-1"
ACK = b'{"stream":"USAGE","seq":7}'


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[Publisher]:
    """A publisher whose line is kept up."""
    publisher = Publisher(url, "gateway", "USAGE")
    task = asyncio.create_task(publisher.line.run())
    try:
        yield publisher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def connected(publisher: Publisher) -> None:
    """Wait until the line is up."""
    async with asyncio.timeout(10):
        await publisher.line.connected.wait()


async def tell(publisher: Publisher, event_id: str = "e-1", body: bytes = b"{}", seconds: float = 5.0) -> int:
    """Publish one event."""
    return await publisher.publish(SUBJECT, body, event_headers(event_id), seconds)


class Peer:
    """One connection that a played server has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.said: list[bytes] = []

    async def greet(self, **about: Any) -> None:
        """Say who we are, and take the client in."""
        self.writer.write(b"INFO %b\r\n" % json.dumps({"max_payload": 1000, **about}).encode())
        if about.get("tls_required"):
            await self.writer.drain()
            return
        await self.take_in()

    async def take_in(self) -> None:
        """Hear who the client is until it asks whether that is all right, and say that it is."""
        while (line := await self.reader.readline()) != b"PING\r\n":
            self.said.append(line)
        self.writer.write(b"PONG\r\n")

    async def message(self) -> tuple[bytes, bytes]:
        """The next message: where its answer goes, and its body."""
        while not (line := await self.reader.readline()).startswith(b"HPUB"):
            if not line:
                raise ConnectionResetError
        _, _, reply, head, size = line.split()
        return reply, (await self.reader.readexactly(int(size) + 2))[int(head) : -2]


@asynccontextmanager
async def played(play: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that a test plays: its address. A connection whose play has ended is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await play(Peer(reader, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def answer_all(peer: Peer) -> None:
    """A server that stores everything."""
    await peer.greet()
    while True:
        reply, _ = await peer.message()
        peer.writer.write(b"MSG %b 1 %d\r\n%b\r\n" % (reply, len(ACK), ACK))


async def test_an_event_is_stored_once_with_its_headers(nats_url: str) -> None:
    bus = await connect(nats_url, "tests")
    async with publishing(nats_url) as publisher:
        await connected(publisher)
        numbers = await asyncio.gather(*[tell(publisher, f"e-{number % 50}") for number in range(100)])
        assert sorted(set(numbers)) == list(range(min(numbers), min(numbers) + 50))
        kept = await bus.jetstream.get_msg("USAGE", numbers[3])
        assert (kept.subject, kept.data) == (SUBJECT, b"{}")
        assert kept.headers == {"Nats-Msg-Id": "e-3", "Content-Type": "application/cloudevents+json"}
    await bus.close()


@pytest.mark.parametrize(
    ("subject", "body", "why"),
    [
        ("nobody.keeps.this", b"{}", "refused"),
        (SUBJECT, b"x" * (MAX_PAYLOAD_BYTES + 1), "larger"),
        ("usage.recorded.a b", b"{}", "no such subject"),
        ("usage.recorded.a\r\nPUB x 0", b"{}", "no such subject"),
    ],
    ids=["no stream", "too large", "a space", "another command"],
)
async def test_what_cannot_be_stored_is_known_at_once_and_the_line_stays(
    nats_url: str, subject: str, body: bytes, why: str
) -> None:
    async with publishing(nats_url) as publisher:
        await connected(publisher)
        with pytest.raises(NotStored, match=why):
            async with asyncio.timeout(2):
                await publisher.publish(subject, body, event_headers("e-1"), 30)
        assert publisher.line.connected.is_set()
        assert await tell(publisher) > 0


async def test_a_header_of_two_lines_is_not_sent(nats_url: str) -> None:
    async with publishing(nats_url) as publisher:
        await connected(publisher)
        with pytest.raises(NotStored, match="header"):
            await tell(publisher, "e-1\r\nNats-Msg-Id: e-2")


async def test_a_server_that_comes_back_is_found_again(tmp_path: Path) -> None:
    words: dict[str, Any] = {"port": free_port(), "user": "tests", "password": "only-in-tests"}
    server = start_nats(tmp_path / "nats", log_path=tmp_path / "nats.log", **words)
    try:
        await provision(server.url)
        async with publishing(server.url) as publisher:
            await connected(publisher)
            assert await tell(publisher, "e-1") == 1
            await asyncio.to_thread(server.stop)
            with pytest.raises(NotStored):
                await tell(publisher, "e-2")
            server = start_nats(tmp_path / "nats", log_path=tmp_path / "nats.log", **words)
            await connected(publisher)
            assert [await tell(publisher, name) for name in ("e-1", "e-2")] == [1, 2]
    finally:
        await asyncio.to_thread(server.stop)


async def test_what_is_on_its_way_when_the_line_breaks_is_not_known_to_be_stored() -> None:
    async def play(peer: Peer) -> None:
        await peer.greet()
        await peer.message()

    async with played(play) as place, publishing(f"nats://{place}") as publisher:
        await connected(publisher)
        with pytest.raises(NotStored, match="broke"):
            async with asyncio.timeout(2):
                await tell(publisher, seconds=30)
        await connected(publisher)  # and it comes back by itself


async def test_a_late_acknowledgement_is_nobodys() -> None:
    async def play(peer: Peer) -> None:
        await peer.greet()
        first, _ = await peer.message()
        second, _ = await peer.message()
        for reply, number in ((first, 1), (second, 2)):
            ack = b'{"stream":"USAGE","seq":%d}' % number
            peer.writer.write(b"MSG %b 1 %d\r\n%b\r\n" % (reply, len(ack), ack))
        await peer.message()

    async with played(play) as place, publishing(f"nats://{place}") as publisher:
        await connected(publisher)
        with pytest.raises(NotStored, match="in time"):
            await tell(publisher, "e-1", seconds=0.05)
        assert await tell(publisher, "e-2") == 2


@pytest.mark.parametrize(
    "ack", [b'{"stream":"OTHER","seq":1}', b'{"error":{"code":503}}', b"", b"no JSON"], ids=["other", "error", "-", "?"]
)
async def test_only_the_streams_own_word_is_an_acknowledgement(ack: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.greet()
        reply, _ = await peer.message()
        peer.writer.write(b"MSG %b 1 %d\r\n%b\r\n" % (reply, len(ack), ack))
        await peer.message()

    async with played(play) as place, publishing(f"nats://{place}") as publisher:
        await connected(publisher)
        with pytest.raises(NotStored, match="refused"):
            await tell(publisher)


async def test_a_server_that_says_nothing_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_line, "_PING_SECONDS", 0.05)
    came = [asyncio.Event(), asyncio.Event()]

    async def play(peer: Peer) -> None:
        await peer.greet()
        if came[0].is_set():
            came[1].set()
        came[0].set()
        await came[1].wait()

    async with played(play) as place, publishing(f"nats://{place}") as publisher:
        await connected(publisher)
        async with asyncio.timeout(5):
            await came[1].wait()


async def test_another_server_of_the_cluster_takes_over(nats_url: str) -> None:
    real = nats_url.rpartition("@")[2]

    async def play(peer: Peer) -> None:
        await peer.greet(connect_urls=[real])

    async with played(play) as place, publishing(nats_url.replace(real, place)) as publisher:
        await connected(publisher)
        place_is_left = asyncio.get_running_loop().time() + 10
        while asyncio.get_running_loop().time() < place_is_left:
            with suppress(NotStored):
                assert await tell(publisher) > 0
                return
            await asyncio.sleep(0.05)
    raise AssertionError("the other server was not found")


async def test_who_is_not_known_is_told_and_shows_no_secret(nats_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, place = nats_url.rpartition("@")
    async with publishing(f"nats://gateway:not-the-password@{place}") as publisher:
        await asyncio.sleep(0.5)
        assert not publisher.line.connected.is_set()
        with pytest.raises(NotStored, match="not connected"):
            await tell(publisher)
    said = capsys.readouterr().out
    assert "Authorization Violation" in said
    assert "not-the-password" not in said


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_nothing_is_said_in_the_open_to_a_server_that_asks_for_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    shown = write_certificate(tmp_path / "nats.pem", ["localhost"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown)
    heard: list[bytes] = []

    async def play(peer: Peer) -> None:
        await peer.greet(tls_required=True)
        await peer.writer.start_tls(context)
        await peer.take_in()
        heard.extend(peer.said)
        reply, _ = await peer.message()
        peer.writer.write(b"MSG %b 1 %d\r\n%b\r\n" % (reply, len(ACK), ACK))
        await peer.message()

    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(shown))
    async with played(play) as place:
        url = f"nats://gateway:a-secret@localhost:{place.rpartition(':')[2]}"
        async with publishing(url) as publisher:
            if is_trusted:
                await connected(publisher)
                assert await tell(publisher) == 7
                assert b'"pass":"a-secret"' in heard[0]
            else:
                await asyncio.sleep(0.5)
                assert not publisher.line.connected.is_set()
                assert not heard


@given(cuts=st.lists(st.integers(1, 400), max_size=20), sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_answers_are_read_whatever_pieces_they_come_in(cuts: list[int], sizes: list[int]) -> None:
    async def read() -> list[tuple[str, bytes]]:
        told: list[tuple[str, bytes]] = []
        protocol = nats_line._Protocol(lambda subject, body: told.append((subject, body)), lambda about: None)
        stream = b'INFO {"max_payload":9}\r\nPING\r\n'
        for number, size in enumerate(sizes):
            body = (b"\r\nMSG " * 10)[:size]
            stream += b"MSG _INBOX.%d 1 %d\r\n%b\r\n" % (number, size, body)
            stream += b"HMSG _INBOX.h 1 16 %d\r\nNATS/1.0 503\r\n\r\n%b\r\n" % (16 + size, body) + b"+OK\r\n"
        places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
        for start, end in itertools.pairwise(places):
            protocol.data_received(stream[start:end])
        protocol.lost.cancel()
        return told

    wanted = []
    for number, size in enumerate(sizes):
        body = (b"\r\nMSG " * 10)[:size]
        wanted += [(f"_INBOX.{number}", body), ("_INBOX.h", body)]
    assert asyncio.run(read()) == wanted


async def test_a_server_that_sends_no_end_is_left() -> None:
    async def play(peer: Peer) -> None:
        await peer.greet()
        with suppress(OSError):
            for _ in range(40):
                peer.writer.write(b"x" * 65_536)
                await peer.writer.drain()
        closed.set()

    closed = asyncio.Event()
    async with played(play) as place, publishing(f"nats://{place}"):
        async with asyncio.timeout(5):
            await closed.wait()
