"""The issuer while it is away: one login waits for it and not each in turn, and sessions end all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from common.testing.clocks import FixedClock
from keyvault.domain.oidc import OidcClient
from keyvault.sources.issuer import Issuer, IssuerAway
from own_issuer import CLIENT_ID, REDIRECT_URL

ELSEWHERE = "https://issuer.example"
SET = {"OIDC_ISSUER": "https://127.0.0.1:9", "OIDC_CLIENT_ID": CLIENT_ID, "OIDC_REDIRECT_URL": REDIRECT_URL}


async def test_while_it_is_away_one_login_waits_for_it_and_the_others_are_told_at_once() -> None:
    asked: list[str] = []

    async def silent(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        await asyncio.sleep(0.05)
        raise httpx2.ConnectTimeout("too late")

    clock = FixedClock()
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(silent)) as client:
        who = OidcClient(ELSEWHERE, CLIENT_ID, REDIRECT_URL, "openid", has_secret=False)
        issuer = Issuer(client, clock, who, None)
        told = await asyncio.gather(*(issuer.metadata() for _ in range(20)), return_exceptions=True)
        assert {type(one) for one in told} == {IssuerAway}
        assert {str(one) for one in told} == {"the identity provider cannot be reached (ConnectTimeout)"}
        assert asked == ["/.well-known/openid-configuration"]
        clock.advance(6)
        with pytest.raises(IssuerAway):
            await issuer.metadata()
        assert len(asked) == 2


async def test_a_session_ends_here_while_the_issuer_is_away(vault_with: Any) -> None:
    async with vault_with(**SET) as vault:
        person = await vault.person()
        answer = await vault.call("POST", "/api/auth/oidc/logout", person)
        assert (answer.status_code, answer.json()) == (200, {"url": None})
        assert "session_token=" in answer.headers["set-cookie"]
        assert (await vault.call("GET", "/api/auth/me", person)).status_code == 401
