"""Deployments that fail rest, through the whole gateway, and admins can see it."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import jwt
import pytest
from common.contracts.snapshots import AliasSnapshot, DeploymentSnapshot, SigningKeySnapshot
from common.http.sessions import ALGORITHM, AUDIENCE, ISSUER
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_stack import Stack

HEALTH = "/api/v1/providers/health"


async def signed_in(stack: Stack, role: str) -> dict[str, str]:
    """The headers of a signed-in person."""
    key = Ed25519PrivateKey.generate()
    public = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    await stack.put("sessions", "key.tests", SigningKeySnapshot(kid="tests", public_key=public))
    now = int(time.time())
    claims: dict[str, Any] = {"sub": "u", "jti": "j", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60}
    token = jwt.encode({**claims, "role": role, "tier": "trial"}, key, ALGORITHM, headers={"kid": "tests"})
    headers = {"authorization": f"Bearer {token}"}
    for _ in range(200):
        if (await stack.http.get(HEALTH, headers=headers)).status_code != 401:
            return headers
        await asyncio.sleep(0.01)
    raise AssertionError("the gateway does not hear of a signing key")


async def test_a_deployment_that_says_when_to_come_back_is_left_alone_until_then(stack: Stack) -> None:
    failing = "[[simulate status=429 retry_after=30]]"
    first = await stack.chat(failing, model="gpt-4")
    assert first.status_code == 429
    answer = await stack.chat(model="with-fallback")
    assert answer.headers["x-tollgate-provider"] == "groq"
    assert len((await stack.events(2))[1].attempts) == 1
    alone = await stack.chat(model="gpt-4")  # there is no other: better a try than none
    assert (alone.status_code, alone.headers["x-tollgate-provider"]) == (200, "openai")
    assert (await stack.chat(model="with-fallback")).headers["x-tollgate-provider"] == "openai"


async def test_admins_see_who_rests(stack: Stack) -> None:
    await stack.chat("[[simulate status=429 retry_after=30]]", model="gpt-4")
    await stack.chat(model="with-fallback")
    assert (await stack.http.get(HEALTH)).status_code == 401
    assert (await stack.http.get(HEALTH, headers=await signed_in(stack, "user"))).status_code == 403
    answer = await stack.http.get(HEALTH, headers=await signed_in(stack, "admin"))
    assert answer.status_code == 200
    shown = {item["provider_type"]: item for item in answer.json()["items"]}
    assert shown["openai"]["state"] == "resting"
    assert 25_000 < shown["openai"]["rests_for_ms"] <= 30_000
    assert (shown["openai"]["calls"], shown["openai"]["failures"]) == (1, 1)
    assert (shown["groq"]["state"], shown["groq"]["calls"], shown["groq"]["failures"]) == ("healthy", 1, 0)
    assert shown["groq"]["latency_ms"] > 0
    assert "sim-ok" not in answer.text


@pytest.mark.parametrize("header", [True, False])
async def test_a_sticky_alias_keeps_a_conversation_together(stack: Stack, header: bool) -> None:
    deployments = tuple(
        DeploymentSnapshot(provider=provider, model=model)
        for provider, model in (("openai", "gpt-4"), ("groq", "llama-3.3-70b-versatile"))
    )
    alias = AliasSnapshot(id="9", alias="sticky-one", deployments=deployments, strategy="sticky")
    await stack.put("catalog", "alias.9", alias)
    await stack.is_callable("sticky-one")
    seen: dict[str, set[str]] = {}
    for number in range(24):
        key = f"conversation-{number % 8}"
        members: dict[str, Any] = {} if header else {"prompt_cache_key": key}
        headers = {"authorization": "Bearer test-key-12345", **({"x-tollgate-session": key} if header else {})}
        body = {"model": "sticky-one", "messages": [{"role": "user", "content": "Hi"}], **members}
        answer = await stack.http.post("/v1/chat/completions", json=body, headers=headers)
        seen.setdefault(key, set()).add(answer.headers["x-tollgate-provider"])
    assert all(len(providers) == 1 for providers in seen.values())
    assert set().union(*seen.values()) == {"openai", "groq"}
