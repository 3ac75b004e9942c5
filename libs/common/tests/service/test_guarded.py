"""The guarded client: whatever a name or an answer says, nothing private is ever connected to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from common.http.guarded import GuardedTransport, guarded_client
from common.testing.certificates import write_certificate
from common.urls import ForbiddenUrl, UrlRules, rules_of


@dataclass
class Canary:
    """A server on this machine that must not be reached; counts who does all the same."""

    port: int = 0
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
        finally:
            writer.close()


@pytest_asyncio.fixture
async def canary() -> AsyncIterator[Canary]:
    found = Canary()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    await server.wait_closed()


class Names:
    """A resolver that says what a test wants, one answer after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def client_of(rules: UrlRules, names: Names, tls: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=GuardedTransport(rules, resolve=names, tls=tls), trust_env=False, timeout=2)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"],
     ["169.254.169.254"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["0.0.0.0"], ["not an address"]],
)  # fmt: skip
async def test_a_name_that_leads_to_a_private_address_is_never_connected_to(
    canary: Canary, addresses: list[str]
) -> None:
    async with client_of(UrlRules(), Names(addresses)) as client:
        with pytest.raises(ForbiddenUrl, match="not public"):
            await client.get(f"https://rebound.example.com:{canary.port}/")
    assert canary.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "127.1", "0"])
async def test_a_private_host_is_refused_before_its_name_is_even_asked_for(canary: Canary, host: str) -> None:
    names = Names(["8.8.8.8"])
    async with client_of(UrlRules(), names) as client:
        for url in (f"https://{host}:{canary.port}/", f"http://{host}:{canary.port}/"):
            with pytest.raises((ForbiddenUrl, httpx2.InvalidURL)):
                await client.get(url)
    assert (canary.connections, names.asked) == (0, 0)


async def test_a_redirect_is_an_answer_and_not_followed(canary: Canary) -> None:
    to = b"http://127.0.0.1:%d/secret" % canary.port
    canary.answer = b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % to
    async with guarded_client(rules_of(f"127.0.0.1:{canary.port}"), 2) as client:
        assert (await client.get(f"http://127.0.0.1:{canary.port}/")).status_code == 302
    assert canary.connections == 1


async def test_an_allowed_host_is_called_by_address_with_its_name_in_the_host_header(canary: Canary) -> None:
    names = Names(["127.0.0.1"])
    async with client_of(rules_of("ollama"), names) as client:
        assert (await client.post(f"http://ollama:{canary.port}/v1?a=b", content=b"{}")).text == "ok"
    assert names.asked == 1
    assert canary.heads[0].startswith(b"POST /v1?a=b HTTP/1.1\r\n")
    assert b"host: ollama:%d\r\n" % canary.port in canary.heads[0].lower()


async def test_the_next_address_is_tried_when_one_does_not_answer(canary: Canary) -> None:
    async with client_of(rules_of("ollama"), Names(["127.0.0.2", "127.0.0.1"])) as client:
        assert (await client.get(f"http://ollama:{canary.port}/")).text == "ok"


async def test_a_name_that_cannot_be_resolved_cannot_be_reached() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    async with httpx2.AsyncClient(transport=GuardedTransport(UrlRules(), resolve=unknown)) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("https://nowhere.example.com/")


@pytest.mark.parametrize(("name", "is_trusted"), [("api.example.com", True), ("other.example.com", False)])
async def test_tls_is_checked_against_the_name_and_not_the_address(tmp_path: Path, name: str, is_trusted: bool) -> None:
    certificate = write_certificate(tmp_path / "server.pem", ["api.example.com"])
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    canary = Canary()
    server = await asyncio.start_server(canary.serve, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with client_of(rules_of(name), Names(["127.0.0.1"]), trusting) as client:
        if is_trusted:
            assert (await client.get(f"https://{name}:{port}/")).text == "ok"
        else:
            with pytest.raises(httpx2.ConnectError):
                await client.get(f"https://{name}:{port}/")
    server.close()
    await server.wait_closed()
    assert len(canary.heads) == int(is_trusted)
