"""What has gone wrong with keys and sign-in at other gateways, each named after what must not happen again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyvault.domain.key_text import generate_key
from machine import Key, Machine, eventually

_OVERRIDES = (
    "api_base", "base_url", "api_url", "azure_endpoint", "endpoint", "host", "proxy", "api_version", "organization",
    "custom_llm_provider", "litellm_params", "extra_headers", "extra_body", "headers", "client", "model_info",
)  # fmt: skip
_HEADERS = ("x-api-base", "api-base", "base-url", "x-base-url", "x-litellm-api-base", "x-forwarded-host", "x-upstream")


@contextlib.asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody's own host, and what came there."""
    came: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1", came
    finally:
        server.close()


async def test_a_callers_api_base_sends_the_providers_key_nowhere(machine: Machine) -> None:
    """CVE-2024-6587."""
    key = await machine.make_key()
    headers = {"authorization": f"Bearer {key.secret}"}
    body: dict[str, Any] = {"model": "gpt-4", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    async with listener() as (elsewhere, came):
        values = (elsewhere, {"api_base": elsewhere, "base_url": elsewhere})
        tries: list[dict[str, Any]] = [{"params": {name: elsewhere}} for name in _OVERRIDES]
        tries += [{"headers": {**headers, name: elsewhere}} for name in _HEADERS]
        for name in _OVERRIDES:
            tries += [{"json": {**body, name: value}} for value in values]
            tries += [{"json": {**body, "metadata": {name: json.dumps(value)}}} for value in values]
        asked = [{"json": body, "headers": headers, **one} for one in tries]
        answers = await asyncio.gather(*(machine.caller.post("/v1/chat/completions", **one) for one in asked))
        assert {answer.status_code for answer in answers} <= {200, 400, 429}
        assert came == []


async def test_no_byte_of_an_authorization_header_becomes_sql(machine: Machine) -> None:
    """CVE-2026-42208: a key is looked up by its hash, in memory; whatever a header says, nobody is let in or falls over."""
    tries = ["' OR '1'='1", "'; DROP TABLE users; --", "\\x27 UNION SELECT key_hash", '"}', "%00", "sk-' || (SELECT 1)"]
    tries += [secrets.token_urlsafe(number) + "'\"\\;--" for number in range(1, 60)]
    for name, scheme in (("authorization", "Bearer "), ("x-api-key", ""), ("api-key", ""), ("x-goog-api-key", "")):
        answers = await asyncio.gather(
            *(machine.caller.get("/v1/models", headers={name: scheme + text}) for text in tries)
        )
        assert {answer.status_code for answer in answers} == {401}
    for path in ("/api/auth/me", "/api/v1/keys"):
        machine.caller.cookies.clear()
        answer = await machine.caller.get(path, headers={"authorization": f"Bearer {tries[0]}"})
        assert answer.status_code == 401


@settings(max_examples=50, deadline=None)
@given(st.integers(min_value=1, max_value=45))
def test_keys_that_begin_alike_are_different_keys(length: int) -> None:
    """CVE-2026-35030: identity is the whole key's SHA-256, never a part of the key."""
    one = generate_key().reveal()
    other = one[:length] + generate_key().reveal()[length:]
    hashes = {hashlib.sha256(text.encode()).hexdigest() for text in (one, other)}
    assert len(hashes) == (1 if one == other else 2)


async def test_a_key_that_shares_a_prefix_with_a_known_one_is_unknown(machine: Machine) -> None:
    """CVE-2026-35030, over HTTP: first the true key, so that whatever may be cached is."""
    key = await machine.make_key()
    assert (await machine.chat(key, max_tokens=1)).status_code == 200
    for cut in (10, 20, 30, len(key.secret) - 1):
        changed = key.secret[:cut] + secrets.token_hex(20)[: len(key.secret) - cut]
        assert (await machine.chat(changed, max_tokens=1)).status_code == 401
        assert (await machine.chat(key.secret[:cut], max_tokens=1)).status_code == 401


async def test_a_stored_hash_is_no_credential_and_never_shown(machine: Machine) -> None:
    """GHSA-69x8-hrgq-fjj8."""
    key = await machine.make_key()
    digest = hashlib.sha256(key.secret.encode()).hexdigest()
    assert (await machine.chat(digest, max_tokens=1)).status_code == 401
    machine.caller.cookies.clear()
    signed_in = await machine.caller.get("/api/auth/me", headers={"authorization": f"Bearer {digest}"})
    assert signed_in.status_code == 401
    for path in (f"/api/v1/keys/{key.id}", "/api/v1/keys?limit=1000", "/api/v1/audit?limit=100", "/api/v1/users"):
        shown = (await machine.admin.get(path)).text
        assert digest not in shown
        assert "$argon2" not in shown


async def test_a_removed_team_leaves_no_key_alive(machine: Machine) -> None:
    """litellm 34217: revoked with the team, not after some time."""
    team = (await machine.admin.post("/api/v1/teams", json={"name": f"gone-{secrets.token_hex(4)}"})).json()
    key = await machine.make_key(team_id=team["id"])
    assert (await machine.chat(key, max_tokens=1)).status_code == 200
    assert (await machine.admin.delete(f"/api/v1/teams/{team['id']}")).status_code == 204
    assert (await machine.chat(key, max_tokens=1)).status_code == 401


async def test_a_disabled_user_leaves_no_key_and_no_session_alive(machine: Machine) -> None:
    """litellm 9820, one step up: who is switched off is so with all that is theirs."""
    email = f"{secrets.token_hex(6)}@example.com"
    body = {"email": email, "password": "a password of the story", "name": ""}
    begun = (await machine.caller.post("/api/auth/signup", json=body)).json()
    key = await machine.make_key(user_id=begun["user_id"], tier="enterprise")
    assert (await machine.chat(key, max_tokens=1)).status_code == 200
    off = await machine.admin.patch(f"/api/v1/users/{begun['user_id']}", json={"enabled": False})
    assert off.status_code == 200, off.text
    assert (await machine.chat(key, max_tokens=1)).status_code == 401
    session = {"authorization": f"Bearer {begun['access_token']}"}

    async def has_ended() -> bool:
        machine.caller.cookies.clear()
        return (await machine.caller.get("/api/v1/keys", headers=session)).status_code == 401

    await eventually(has_ended)


async def test_a_revoked_key_is_not_brought_back_by_calls_that_are_running(machine: Machine) -> None:
    """litellm 25553: a cache that was being written when the key went. Calls go on all the while, refused for good."""
    key = await machine.make_key()
    stop = asyncio.Event()
    seen: list[int] = []

    async def call_on(one: Key) -> None:
        while not stop.is_set():
            seen.append((await machine.chat(one, max_tokens=1)).status_code)

    callers = [asyncio.create_task(call_on(key)) for _ in range(4)]
    await asyncio.sleep(0.3)
    assert (await machine.admin.delete(f"/api/v1/keys/{key.id}")).status_code == 204
    for _ in range(20):
        assert (await machine.chat(key, max_tokens=1)).status_code == 401
    stop.set()
    await asyncio.gather(*callers)
    assert 200 in seen
    assert seen[-4:] == [401] * 4


@pytest.mark.parametrize(
    "path", ["/config/update", "/api/config/update", "/v1/config/update", "/key/generate", "/user/update"]
)
async def test_no_door_for_configuration_stands_open(machine: Machine, path: str) -> None:
    """CVE-2026-35029: what changes the configuration is under /api, by role, and nowhere else."""
    key = await machine.make_key()
    for headers in ({}, {"authorization": f"Bearer {key.secret}"}):
        machine.caller.cookies.clear()
        answer = await machine.caller.post(path, json={"environment_variables": {"A": "b"}}, headers=headers)
        assert answer.status_code in (401, 404, 405), answer.text
