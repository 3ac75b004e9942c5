"""A provider's own list: asked with the system's key, which keyvault seals for this one question; and who has no list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from catalog_sync.domain.providers import Provider
from catalog_sync.sources.keyvault import KeyvaultDoor
from catalog_sync.sources.own_list import OwnLists, SystemCredentials
from common.contracts.snapshots import CredentialSnapshot
from common.http.fetch import Fetcher, SourceUnreadable
from common.secret import Secret, seal
from common.urls import UrlRules

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TOKEN = "t" * 32
Answer = Callable[[str, bytes], tuple[int, object]]


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[str]:
    """A server that answers a request (its head and body) with a status and JSON; its host and port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
        )
        status, content = answer(head, await reader.readexactly(length))
        body = json.dumps(content).encode()
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def keyvault(head: str, body: bytes) -> tuple[int, object]:
    if f"Bearer {TOKEN}" not in head or "/internal/v1/credentials/c1/open" not in head:
        return 401, {}
    sealed = seal(Secret("sk-groq"), json.loads(body)["recipient"], "c1/3")
    return 200, {"credential_id": "c1", "version": 3, "sealed": sealed}


def groq(head: str, body: bytes) -> tuple[int, object]:
    if "authorization: bearer sk-groq" not in head.lower() or "GET /openai/v1/models " not in head:
        return 401, {}
    return 200, {"object": "list", "data": [{"id": "llama-9", "context_window": 8192}]}


def provider(base_url: str | None, kind: str = "groq", *, enabled: bool = True) -> Provider:
    return Provider("p", "groq-eu", "Groq EU", kind, NOW, NOW, base_url=base_url, enabled=enabled)


def credentials(**changes: object) -> SystemCredentials:
    made = SystemCredentials()
    snapshot = CredentialSnapshot.model_validate({"id": "c1", "provider_type": "groq", "version": 3, **changes})
    made.apply("c1", snapshot.model_dump_json().encode())
    return made


async def test_a_list_is_read_with_the_key_that_keyvault_seals_for_it() -> None:
    async with served(keyvault) as vault, served(groq) as at:
        door = KeyvaultDoor(f"http://{vault}", Secret(TOKEN))
        source = OwnLists(Fetcher(UrlRules(frozenset({at}))), credentials(), door.open).of(
            provider(f"http://{at}/openai/v1/")
        )
        assert source is not None
        assert (source.name, source.standing) == ("provider:groq-eu", "own")
        [one] = await source.read()
        assert (one.facts.provider_type, one.facts.name, one.facts.context_length, one.prices) == (
            "groq",
            "llama-9",
            8192,
            (),
        )


async def test_a_keyvault_that_refuses_or_a_provider_that_does_leaves_the_list_unread_without_a_secret_in_the_words() -> (
    None
):
    async with served(keyvault) as vault, served(lambda head, body: (401, {"error": head})) as at:
        lists = OwnLists(
            Fetcher(UrlRules(frozenset({at}))), credentials(), KeyvaultDoor(f"http://{vault}", Secret(TOKEN)).open
        )
        source = lists.of(provider(f"http://{at}"))
        assert source is not None
        with pytest.raises(SourceUnreadable) as raised:
            await source.read()
        assert raised.value.message == "it answered HTTP 401"
        with pytest.raises(SourceUnreadable, match="keyvault did not hand out"):
            await KeyvaultDoor(f"http://{vault}", Secret("x" * 32)).open(
                CredentialSnapshot(id="c1", provider_type="groq", version=3)
            )


def test_who_has_no_key_of_the_systems_or_is_played_by_the_simulator_has_no_list() -> None:
    async def never(credential: CredentialSnapshot) -> Secret:
        raise AssertionError

    def of(known: SystemCredentials, asked: Provider) -> object:
        return OwnLists(Fetcher(UrlRules()), known, never).of(asked)

    assert of(credentials(), provider(None)) is not None
    assert of(credentials(), provider(None, enabled=False)) is None
    assert of(credentials(), provider(None, "mistral")) is None
    for changes in ({"enabled": False}, {"owner_user_id": "u1"}, {"on_simulator": True}):
        assert of(credentials(**changes), provider(None)) is None
    forgotten = credentials()
    forgotten.apply("c1", None)
    assert of(forgotten, provider(None)) is None
