"""Signing in with an OpenID Connect issuer over HTTP, walked as a browser walks it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest
from common.http.sessions import COOKIE
from common.ids import uuid7
from keyvault.domain.passwords import NOBODYS_HASH
from own_issuer import CLIENT_ID, CLIENT_SECRET, Browser, OwnIssuer

Claims = dict[str, Any]


async def begun(browser: Browser) -> dict[str, list[str]]:
    answer = await browser.client.get("/api/auth/oidc/login")
    return parse_qs(urlsplit(answer.headers["location"]).query)


async def signed_in(joined: Any, person: Any) -> Browser:
    """Somebody with an account of ours, signed in by cookie."""
    token = person.headers["authorization"].removeprefix("Bearer ")
    return Browser(httpx2.AsyncClient(base_url=joined.url, cookies={COOKIE: token}, timeout=20))


async def test_whoever_the_issuer_knows_gets_an_account_and_a_session(
    joined: Any, browser: Browser, somebody: Claims
) -> None:
    ended = await browser.log_in("/admin/llm-hub?tab=keys")
    assert (ended.status_code, ended.headers["location"]) == (303, "/admin/llm-hub?tab=keys")
    assert "HttpOnly" in ended.headers["set-cookie"]
    assert "SameSite=lax" in ended.headers["set-cookie"]
    me = await browser.me()
    assert me is not None
    assert (me["email"], me["name"], me["role"], me["tier"]) == (somebody["email"], "Ada", "user", "trial")
    assert await joined.audit_actions(me["id"]) == ["user.created"]


async def test_an_id_token_that_names_its_access_token_counts(
    issuer: OwnIssuer, browser: Browser, somebody: Claims
) -> None:
    digest = hashlib.sha256(b"of no use elsewhere").digest()
    somebody["at_hash"] = base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
    assert (await browser.log_in()).status_code == 303


async def test_a_name_that_no_database_can_keep_keeps_nobody_out(
    issuer: OwnIssuer, browser: Browser, somebody: Claims
) -> None:
    somebody["name"] = "A\ud800d\u0000a"
    assert (await browser.log_in()).status_code == 303
    assert (await browser.me() or {})["name"] == "Ada"


async def test_a_second_login_opens_the_same_account(browser: Browser, somebody: Claims) -> None:
    await browser.log_in()
    first = await browser.me()
    somebody["email"] = f"{uuid7()}@example.com"  # an address is no identity
    await browser.log_in()
    assert (await browser.me()) == first


async def test_the_login_is_asked_for_with_code_pkce_state_and_nonce(browser: Browser) -> None:
    first, second = await begun(browser), await begun(browser)
    assert first["response_type"] == ["code"]
    assert first["code_challenge_method"] == ["S256"]
    assert first["scope"] == ["openid email profile"]
    assert first["client_id"] == [CLIENT_ID]
    for fresh in ("state", "nonce", "code_challenge"):
        assert len(first[fresh][0]) == 43
        assert first[fresh] != second[fresh]


async def test_the_issuer_is_shown_our_secret_as_its_standard_has_it(
    issuer: OwnIssuer, browser: Browser, somebody: Claims
) -> None:
    assert (await browser.log_in()).status_code == 303
    scheme, _, pair = issuer.proofs[-1].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair).decode() == f"{CLIENT_ID}:{quote(CLIENT_SECRET, safe='')}"


@pytest.mark.parametrize(
    ("claims", "role", "tier"),
    [
        ({"realm_access": {"roles": ["tollgate-admin", "other"]}, "plan": "gold"}, "admin", "enterprise"),
        ({"realm_access": {"roles": ["other"]}, "plan": ["unheard of", "silver"]}, "user", "professional"),
        ({"realm_access": "tollgate-admin", "plan": {"gold": True}}, "user", "trial"),
        ({"tollgate-admin": True}, "user", "trial"),
    ],
)
async def test_role_and_tier_come_from_claims(
    browser: Browser, somebody: Claims, claims: Claims, role: str, tier: str
) -> None:
    somebody |= claims
    await browser.log_in()
    me = await browser.me()
    assert me is not None
    assert (me["role"], me["tier"]) == (role, tier)


async def test_a_changed_claim_changes_the_account_and_ends_its_other_sessions(
    joined: Any, browser: Browser, somebody: Claims, eventually: Any
) -> None:
    somebody |= {"realm_access": {"roles": ["tollgate-admin"]}, "plan": "gold"}
    await browser.log_in()
    me = await browser.me()
    assert me is not None
    async with httpx2.AsyncClient(base_url=joined.url) as elsewhere:
        other = Browser(elsewhere)
        await other.log_in()
        somebody["realm_access"] = {"roles": []}
        await joined.admin()  # so that another admin is left
        await browser.log_in()

        async def is_ended() -> bool:
            return await other.me() is None

        await eventually(is_ended)
    assert (await browser.me() or {})["role"] == "user"
    assert await joined.audit_actions(me["id"]) == ["user.created", "user.changed"]


async def test_claims_that_are_kept_for_userinfo_are_asked_for(
    issuer: OwnIssuer, browser: Browser, somebody: Claims
) -> None:
    issuer.userinfo = {**somebody, "plan": "silver"}
    issuer.claims = {"sub": somebody["sub"]}
    assert (await browser.log_in()).status_code == 303
    me = await browser.me()
    assert me is not None
    assert (me["email"], me["tier"]) == (issuer.userinfo["email"], "professional")


async def test_an_account_is_linked_by_whoever_is_signed_in_to_it(
    joined: Any, browser: Browser, somebody: Claims
) -> None:
    person = await joined.person()
    mine = await signed_in(joined, person)
    answer = await mine.client.post("/api/auth/oidc/link", json={"return_to": "/account"})
    ended = await mine.come_back(await mine.at_issuer(answer.json()["url"]))
    assert (ended.status_code, ended.headers["location"]) == (303, "/account")
    await browser.log_in()
    assert (await browser.me() or {})["id"] == person.id
    assert await joined.audit_actions(person.id) == ["user.linked"]


async def test_an_account_without_a_password_is_not_unlinked(joined: Any, browser: Browser, somebody: Claims) -> None:
    await browser.log_in()
    refused = await browser.client.delete("/api/auth/oidc/link")
    assert refused.status_code == 409
    me = await browser.me()
    assert me is not None
    await joined.owner.execute("UPDATE users SET password_hash = $2 WHERE id = $1", me["id"], NOBODYS_HASH + "x")
    assert (await browser.client.delete("/api/auth/oidc/link")).status_code == 204
    assert (await browser.client.delete("/api/auth/oidc/link")).status_code == 404
    assert (await browser.log_in()).status_code == 409  # its address is taken, and opens nothing


async def test_logging_out_ends_the_session_and_says_where_the_issuers_ends(browser: Browser, somebody: Claims) -> None:
    await browser.log_in()
    token = browser.client.cookies[COOKIE]
    answer = await browser.client.post("/api/auth/oidc/logout")
    assert urlsplit(answer.json()["url"]).query == f"from=us&client_id={CLIENT_ID}"
    assert COOKIE not in browser.client.cookies
    kept = await browser.client.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})
    assert kept.status_code == 401


async def test_the_issuer_ends_all_sessions_of_whom_it_logs_out(
    issuer: OwnIssuer, browser: Browser, somebody: Claims, eventually: Any
) -> None:
    await browser.log_in()
    form = {"logout_token": issuer.logout_token(somebody["sub"])}
    assert (await browser.client.post("/api/auth/oidc/backchannel-logout", data=form)).status_code == 200

    async def is_ended() -> bool:
        return await browser.me() is None

    await eventually(is_ended, 1.0)


async def test_a_key_that_the_issuer_has_changed_is_read_again(
    joined: Any, issuer: OwnIssuer, browser: Browser, somebody: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.log_in()
    asked = issuer.asked.count("jwks")
    issuer.rotate("second")
    assert (await browser.log_in()).status_code == 401, "keys were read a moment ago"
    assert issuer.asked.count("jwks") == asked
    trusted = joined.app.state.services.keyvault.single_sign_on._set.issuer
    monkeypatch.setattr(trusted, "_age", lambda since: 31.0)
    assert (await browser.log_in()).status_code == 303
    assert issuer.asked.count("jwks") == asked + 1
    assert issuer.asked.count("discovery") == 1, "what the issuer says of itself is kept"


async def test_two_logins_side_by_side_begin_two_sessions(joined: Any, browser: Browser, somebody: Claims) -> None:
    await browser.log_in()
    async with httpx2.AsyncClient(base_url=joined.url) as elsewhere:
        answers = await asyncio.gather(browser.log_in(), Browser(elsewhere).log_in())
    assert [answer.status_code for answer in answers] == [303, 303]


async def test_where_no_issuer_is_set_there_is_no_single_sign_on(vault: Any) -> None:
    assert (await vault.call("GET", "/api/auth/oidc")).json() == {"enabled": False, "issuer": None}
    assert (await vault.call("GET", "/api/auth/oidc/login")).status_code == 404


async def test_the_issuer_is_named_to_whoever_wants_to_sign_in(joined: Any, issuer: OwnIssuer) -> None:
    assert (await joined.call("GET", "/api/auth/oidc")).json() == {"enabled": True, "issuer": issuer.url}
