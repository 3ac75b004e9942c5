"""What an attacker tries with single sign-on, over HTTP: forged and foreign tokens, replays, other people's accounts."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx2
import jwt
import pytest
from common.http.sessions import COOKIE
from own_issuer import CLIENT_ID, Browser, Forge, OwnIssuer, rsa_key

Claims = dict[str, Any]


def _part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def _unsigned(issuer: OwnIssuer, claims: Claims) -> str:
    return f"{_part({'alg': 'none', 'kid': issuer.kid})}.{_part(claims)}."


def _hmac_by_public_key(issuer: OwnIssuer, claims: Claims) -> str:
    import hashlib
    import hmac

    signed = f"{_part({'alg': 'HS256', 'kid': issuer.kid})}.{_part(claims)}"
    digest = hmac.new(issuer.public_pem, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _with_own_key(issuer: OwnIssuer, claims: Claims) -> str:
    key = rsa_key()
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return issuer.signed(claims, key, jwk=jwk)


def _changed(**changed: Any) -> Forge:
    def forge(issuer: OwnIssuer, claims: Claims) -> str:
        return issuer.signed({name: value for name, value in {**claims, **changed}.items() if value is not None})

    return forge


def _tampered(issuer: OwnIssuer, claims: Claims) -> str:
    head, _, signature = issuer.signed(claims).split(".")
    return f"{head}.{_part({**claims, 'sub': 'somebody-else'})}.{signature}"


FORGED: dict[str, Forge] = {
    "alg none": _unsigned,
    "hs256 with the public key": _hmac_by_public_key,
    "a key of their own, sent along": _with_own_key,
    "changed after it was signed": _tampered,
    "wrong audience": _changed(aud="another-application"),
    "several audiences and no party": _changed(aud=[CLIENT_ID, "another-application"]),
    "made for another party": _changed(aud=[CLIENT_ID, "another"], azp="another"),
    "another party alone": _changed(azp="another"),
    "wrong issuer": _changed(iss="https://evil.example"),
    "issuer with a slash more": lambda issuer, claims: issuer.signed({**claims, "iss": f"{issuer.url}/"}),
    "expired": _changed(exp=int(time.time()) - 120),
    "without an end": _changed(exp=None),
    "from the future": _changed(iat=int(time.time()) + 600),
    "nonce of another login": _changed(nonce="another"),
    "without a nonce": _changed(nonce=None),
    "without a subject": _changed(sub=None),
    "an empty subject": _changed(sub=""),
    "a subject that no text can be": _changed(sub="half a pair: \ud800"),
    "of another access token": _changed(at_hash=base64.urlsafe_b64encode(b"x" * 16).decode().rstrip("=")),
    "of no access token": _changed(at_hash=5),
    "a logout token": lambda issuer, claims: issuer.logout_token(claims["sub"]),
    "no token": lambda issuer, claims: "not a token",
    "far too long": lambda issuer, claims: issuer.signed({**claims, "more": "x" * 20_000}),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_a_token_that_does_not_count_opens_nothing(
    joined: Any, issuer: OwnIssuer, browser: Browser, somebody: Claims, forge: Forge
) -> None:
    issuer.forge = forge
    refused = await browser.log_in()
    assert refused.status_code == 401, refused.text
    assert COOKIE not in browser.client.cookies
    assert somebody["email"] not in refused.text
    assert await joined.owner.fetchval("SELECT count(*) FROM users WHERE email = $1", somebody["email"]) == 0


async def test_an_answer_counts_once(joined: Any, issuer: OwnIssuer, browser: Browser, somebody: Claims) -> None:
    begun = await browser.client.get("/api/auth/oidc/login")
    query = await browser.at_issuer(begun.headers["location"])
    kept = dict(browser.client.cookies)
    assert (await browser.come_back(query)).status_code == 303
    tokens = len(issuer.proofs)
    async with httpx2.AsyncClient(base_url=joined.url, cookies=kept) as again:
        replayed = await again.get(f"/api/auth/oidc/callback?{query}")
    assert (replayed.status_code, replayed.json()["code"]) == (400, "login_not_begun")
    assert len(issuer.proofs) == tokens, "the issuer was not even asked"


async def test_a_code_that_was_used_opens_nothing(browser: Browser, somebody: Claims) -> None:
    used = (await browser.go()).partition("&")[0]
    begun = await browser.client.get("/api/auth/oidc/login")
    issued = await browser.at_issuer(begun.headers["location"])
    assert (await browser.come_back(issued)).status_code == 303
    browser.client.cookies.clear()
    await browser.client.get("/api/auth/oidc/login")
    query = (await browser.go()).partition("&")[2]
    stale = await browser.come_back(f"{issued.partition('&')[0]}&{query}")
    assert (stale.status_code, stale.json()["code"]) == (401, "code_refused")
    assert used != issued


async def test_a_code_of_another_browser_is_worth_nothing_here(joined: Any, browser: Browser, somebody: Claims) -> None:
    """Injected: the victim's code with the attacker's state. The verifier is the attacker's, so PKCE refuses it."""
    victims = await browser.go()
    async with httpx2.AsyncClient(base_url=joined.url) as client:
        attacker = Browser(client)
        state = (await attacker.go()).partition("&")[2]
        refused = await attacker.come_back(f"{victims.partition('&')[0]}&{state}")
    assert (refused.status_code, refused.json()["code"]) == (401, "code_refused")


async def test_an_attackers_answer_signs_no_victim_in(joined: Any, browser: Browser, somebody: Claims) -> None:
    async with httpx2.AsyncClient(base_url=joined.url) as client:
        attackers = await Browser(client).go()
    assert (await browser.come_back(attackers)).status_code == 400  # began nothing
    await browser.go()
    assert (await browser.come_back(attackers)).status_code == 400  # began something else
    assert await browser.me() is None


@pytest.mark.parametrize("said", ["https://evil.example", ""])
async def test_an_answer_of_another_issuer_is_refused(
    issuer: OwnIssuer, browser: Browser, somebody: Claims, said: str
) -> None:
    issuer.callback_extra = {"iss": said}
    tokens = len(issuer.proofs)
    assert (await browser.log_in()).json()["code"] == "login_not_begun"
    assert len(issuer.proofs) == tokens, "its code went nowhere"


async def test_an_answer_that_names_our_issuer_is_taken(issuer: OwnIssuer, browser: Browser, somebody: Claims) -> None:
    issuer.callback_extra = {"iss": issuer.url}
    assert (await browser.log_in()).status_code == 303


async def test_an_address_opens_no_account_that_exists(joined: Any, browser: Browser, somebody: Claims) -> None:
    """Neither does a verified one: that account's owner, whoever it is, keeps its password and its keys."""
    person = await joined.person("admin", "enterprise")
    somebody |= {"email": person.email.upper(), "email_verified": True}
    refused = await browser.log_in()
    assert (refused.status_code, COOKIE in browser.client.cookies) == (409, False)
    assert await joined.owner.fetchval("SELECT count(*) FROM identities WHERE user_id = $1", person.id) == 0


@pytest.mark.parametrize("verified", [False, None, "false", 0, "yes"])
async def test_an_unverified_address_makes_no_account(browser: Browser, somebody: Claims, verified: Any) -> None:
    somebody["email_verified"] = verified
    refused = await browser.log_in()
    assert (refused.status_code, refused.json()["code"]) == (403, "identity_refused")


async def test_a_disabled_account_is_not_opened(joined: Any, browser: Browser, somebody: Claims) -> None:
    await browser.log_in()
    me = await browser.me()
    assert me is not None
    admin = await joined.admin()
    await joined.call("PATCH", f"/api/v1/users/{me['id']}", admin, {"enabled": False})
    assert (await browser.log_in()).status_code == 403


async def test_a_link_is_made_for_nobody_but_whom_it_was_begun_by(
    joined: Any, browser: Browser, somebody: Claims
) -> None:
    person, other = await joined.person(), await joined.person()
    answer = await browser.client.post("/api/auth/oidc/link", json={}, headers=person.headers)
    query = await browser.at_issuer(answer.json()["url"])
    assert (await browser.come_back(query)).status_code == 400  # nobody is signed in
    browser.client.cookies.set(COOKIE, other.headers["authorization"].removeprefix("Bearer "))
    assert (await browser.come_back(query)).status_code == 400  # somebody else is
    assert await joined.owner.fetchval("SELECT count(*) FROM identities WHERE subject = $1", somebody["sub"]) == 0


async def test_an_identity_opens_one_account(joined: Any, browser: Browser, somebody: Claims) -> None:
    await browser.log_in()
    person = await joined.person()
    browser.client.cookies.set(COOKIE, person.headers["authorization"].removeprefix("Bearer "), domain="127.0.0.1")
    async with httpx2.AsyncClient(
        base_url=joined.url, cookies={COOKIE: person.headers["authorization"].removeprefix("Bearer ")}
    ) as client:
        mine = Browser(client)
        answer = await client.post("/api/auth/oidc/link", json={})
        assert (await mine.come_back(await mine.at_issuer(answer.json()["url"]))).status_code == 409


async def test_a_foreign_page_begins_no_link(joined: Any) -> None:
    person = await joined.person()
    token = person.headers["authorization"].removeprefix("Bearer ")
    async with httpx2.AsyncClient(base_url=joined.url, cookies={COOKIE: token}) as client:
        refused = await client.post("/api/auth/oidc/link", json={}, headers={"sec-fetch-site": "cross-site"})
    assert refused.status_code == 403


@pytest.mark.parametrize(
    "return_to", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\\b", "javascript:0"]
)
async def test_nobody_is_sent_to_a_foreign_page(browser: Browser, somebody: Claims, return_to: str) -> None:
    assert (await browser.log_in(return_to)).headers["location"] == "/"


async def test_by_https_the_logins_cookie_cannot_be_planted_by_a_subdomain(joined: Any) -> None:
    answer = await joined.client.get("/api/auth/oidc/login", headers={"host": "gateway.example.com"})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-oidc_login=")
    assert all(part in cookie for part in ("Secure", "HttpOnly", "Path=/", "SameSite=lax"))
    assert "Domain" not in cookie


async def test_a_session_is_no_login_and_a_login_no_session(joined: Any, browser: Browser, somebody: Claims) -> None:
    query = await browser.go()
    intent = browser.client.cookies["oidc_login"]
    taken_for_session = await joined.client.get("/api/auth/me", headers={"authorization": f"Bearer {intent}"})
    assert taken_for_session.status_code == 401
    person = await joined.person()
    session = person.headers["authorization"].removeprefix("Bearer ")
    async with httpx2.AsyncClient(base_url=joined.url, cookies={"oidc_login": session}) as client:
        assert (await client.get(f"/api/auth/oidc/callback?{query}")).status_code == 400


NO_LOGOUT: dict[str, dict[str, Any]] = {
    "for another": {"aud": "another-application"},
    "by another": {"iss": "https://evil.example"},
    "expired": {"exp": int(time.time()) - 120},
    "with a nonce": {"nonce": "an ID token"},
    "without the event": {"events": {}},
    "without a subject": {"sub": None},
}


@pytest.mark.parametrize("changed", NO_LOGOUT.values(), ids=NO_LOGOUT)
async def test_no_other_token_logs_anybody_out(
    issuer: OwnIssuer, browser: Browser, somebody: Claims, changed: Claims
) -> None:
    await browser.log_in()
    form = {"logout_token": issuer.logout_token(somebody["sub"], **changed)}
    assert (await browser.client.post("/api/auth/oidc/backchannel-logout", data=form)).status_code == 400
    assert await browser.me() is not None


async def test_an_issuer_that_speaks_for_another_is_not_believed(servers: Any, issuer: OwnIssuer, joined: Any) -> None:
    trusted = joined.app.state.services.keyvault.single_sign_on._set.issuer
    trusted._metadata = None
    issuer.document = {"issuer": "https://evil.example"}
    try:
        answer = await joined.call("GET", "/api/auth/oidc/login")
    finally:
        issuer.document = {}
    assert (answer.status_code, answer.json()["code"]) == (503, "identity_provider_away")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_discovery_document_leads_to_no_private_neighbour(
    issuer: OwnIssuer, joined: Any, browser: Browser
) -> None:
    trusted = joined.app.state.services.keyvault.single_sign_on._set.issuer
    trusted._metadata = trusted._keys = None
    issuer.document = {"token_endpoint": "http://127.0.0.1:1/token"}
    try:
        answer = await browser.log_in()
    finally:
        issuer.document, trusted._metadata = {}, None
    assert answer.status_code == 503
    assert "ForbiddenUrl" in answer.text
