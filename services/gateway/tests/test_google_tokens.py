"""Vertex by a service account: exchanged before any call needs it, renewed before it ends, refused without harm."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from common.clock import SystemClock
from common.contracts.snapshots import CredentialSnapshot
from common.secret import Secret, seal
from common.testing.serving import eventually
from gateway.mirrors.credentials import Credentials
from gateway.mirrors.usable import Credential, NoSecret
from gateway.upstream.client import ClientLimits, UpstreamClient
from gateway.upstream.google import GoogleTokens
from gateway_stack import Stack
from test_native_calls import add


async def test_a_call_shows_the_token_that_the_account_was_given(stack: Stack) -> None:
    model = await add(stack, "vertex")
    assert (await stack.chat("Say hello!", model=model)).status_code == 200
    await stack.put("credentials", "cred-vertex", None)
    stranger = CredentialSnapshot(id="cred-stranger", provider_type="vertex", version=1, on_simulator=True)
    await stack.put("credentials", stranger.id, stranger)

    async def is_refused() -> bool:
        return (await stack.chat("Say hello!", model=model)).status_code == 502

    await eventually(is_refused)
    assert (await stack.events())[-1].attempts[-1].error.reason == "provider_auth_failed"


async def test_an_account_that_is_refused_makes_its_own_provider_unavailable_alone(stack: Stack) -> None:
    refused = CredentialSnapshot(id="cred-refused", provider_type="vertex", version=1, on_simulator=True)
    await stack.put("credentials", refused.id, refused)
    assert (await stack.chat("Say hello!")).status_code == 200
    assert (await stack.http.get("/readyz")).status_code == 200


async def test_a_provider_that_nobody_knows_is_shown_what_there_is() -> None:
    unknown = Credential("c", "tidal", 1, Secret("sk-1"), None, on_simulator=True)
    tokens = GoogleTokens(UpstreamClient(ClientLimits()), None, SystemClock())
    assert await tokens.exchange(unknown) is unknown


class Bank:
    """Exchanges each credential for a token that lasts so long."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.made = seconds, 0
        self.refuses = False

    async def exchange(self, credential: Credential) -> Credential:
        await asyncio.sleep(0)
        if self.refuses:
            raise NoSecret("refused")
        self.made += 1
        return replace(credential, secret=Secret(f"token-{self.made}"), lasts_seconds=self.seconds)


async def _open(credential_id: str, recipient: str) -> tuple[int, str]:
    return 1, seal(Secret("account"), recipient, f"{credential_id}/1")


def shown(credentials: Credentials) -> str | None:
    found = credentials.of_provider("vertex")
    return found.secret.reveal() if found else None


async def test_a_token_is_renewed_by_half_of_its_life_and_dropped_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0
    monkeypatch.setattr("gateway.mirrors.credentials.monotonic", lambda: seconds)
    bank = Bank(3540)
    credentials = Credentials(_open, bank.exchange)
    snapshot = CredentialSnapshot(id="c", provider_type="vertex", version=1)
    credentials.apply("c", snapshot.model_dump_json().encode())
    run = asyncio.create_task(credentials.run())

    async def after(later: float) -> str | None:
        nonlocal seconds
        seconds = later
        credentials.apply("c", snapshot.model_dump_json().encode())  # wakes it, as its own timer would
        await asyncio.sleep(0.05)
        return shown(credentials)

    assert await after(0) == "token-1"
    assert await after(1700) == "token-1"
    assert await after(1800) == "token-2"
    bank.refuses = True
    assert await after(5300) == "token-2"
    assert await after(5400) is None
    assert credentials.has_begun()
    run.cancel()
