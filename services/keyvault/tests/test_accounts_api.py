"""Accounts and sessions over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from common.contracts.snapshots import UserSessions
from common.http.sessions import COOKIE
from common.ids import uuid7
from keyvault.domain.passwords import NOBODYS_HASH
from keyvault.domain.tokens import TokenSigner, read_private_key
from keyvault.flows.hashing import Hashing

PASSWORD = "correct horse battery"
FOREIGN = ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"})


@pytest.fixture
def email() -> str:
    """An address that no other test has."""
    return f"{uuid7()}@example.com"


@pytest.fixture(autouse=True)
def _cheap_hashes(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed with the least costs that argon2id takes: what real ones cost is another file's matter."""
    cheap = Hashing(hash_one=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash)
    monkeypatch.setattr(vault.app.state.services.keyvault.accounts, "_hashing", cheap)


@pytest.fixture
def _quick_passwords(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Password checks cost nothing where it is their number that matters; only `PASSWORD` is right."""
    quick = Hashing(check_one=lambda _, given: given == PASSWORD)
    monkeypatch.setattr(vault.app.state.services.keyvault.accounts, "_hashing", quick)


async def sign_up(vault: Any, email: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = await vault.call("POST", "/api/auth/signup", None, {"email": email, "password": password, "name": "Me"})
    assert answer.status_code == 201, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def me(vault: Any, token: str) -> int:
    return int((await vault.client.get("/api/auth/me", headers=bearer(token))).status_code)


async def log_in(vault: Any, email: str, password: str = PASSWORD, **headers: str) -> Any:
    vault.client.cookies.clear()
    return await vault.client.post("/api/auth/login", json={"email": email, "password": password}, headers=headers)


async def test_signing_up_makes_a_trial_account_and_begins_its_session(vault: Any, email: str) -> None:
    begun = await sign_up(vault, email)
    assert begun.keys() == {"access_token", "token_type", "user_id"}
    assert begun["token_type"] == "bearer"
    shown = await vault.client.get("/api/auth/me", headers=bearer(begun["access_token"]))
    assert shown.json() == {
        "id": begun["user_id"],
        "email": email,
        "name": "Me",
        "role": "user",
        "tier": "trial",
    }
    claims = jwt.decode(begun["access_token"], options={"verify_signature": False})
    assert claims.keys() == {"sub", "jti", "iat", "exp", "iss", "aud", "role", "tier"}
    assert 12 * 3600 - 2 <= claims["exp"] - claims["iat"] <= 12 * 3600
    assert await vault.audit_actions(begun["user_id"]) == ["user.created"]


async def test_an_address_is_taken_however_it_is_spelt(vault: Any, email: str) -> None:
    await sign_up(vault, email.title())
    body = {"email": email.upper(), "password": PASSWORD}
    assert (await vault.call("POST", "/api/auth/signup", None, body)).status_code == 409
    answers = await asyncio.gather(
        *(vault.call("POST", "/api/auth/signup", None, {**body, "email": f"two.{email}"}) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


async def test_a_wrong_sign_up_is_a_422_that_does_not_repeat_the_password(vault: Any, email: str) -> None:
    for body in (
        {},
        {"email": email},
        {"email": email, "password": "seven77"},
        {"email": email, "password": "x" * 1025},
        {"email": "nobody", "password": PASSWORD},
        {"email": email, "password": PASSWORD, "role": "admin"},
        {"email": email, "password": PASSWORD, "name": "nul\x00"},
        {"email": "nul\x00@example.com", "password": PASSWORD},
    ):
        answer = await vault.call("POST", "/api/auth/signup", None, body)
        assert answer.status_code == 422, body
        assert str(body.get("password", "-")) not in answer.text
    await sign_up(vault, email, "8 chars!")
    await sign_up(vault, f"long.{email}", "x" * 1024)
    assert (await log_in(vault, f"long.{email}", "x" * 1024)).status_code == 200


async def test_logging_in_begins_a_session_and_sets_a_cookie_that_signs_in(vault: Any, email: str) -> None:
    begun = await sign_up(vault, email)
    answer = await log_in(vault, email.upper())
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "token_type", "user_id"}
    assert answer.json()["user_id"] == begun["user_id"]
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200", f"{COOKIE}={answer.json()['access_token']}"):
        assert part in cookie
    assert "Secure" not in cookie
    assert (await vault.client.get("/api/auth/me")).json()["email"] == email


@pytest.mark.parametrize(
    ("host", "is_secure"),
    [("tollgate.example.com", True), ("localhost:8080", False), ("127.0.0.1", False), ("[::1]:80", False),
     ("localhost.evil.example", True)],
)  # fmt: skip
async def test_the_cookie_is_for_https_only_but_on_this_machine(
    vault: Any, email: str, host: str, is_secure: bool
) -> None:
    await sign_up(vault, email)
    answer = await log_in(vault, email, **{"x-forwarded-host": host})
    assert ("Secure" in answer.headers["set-cookie"]) == is_secure


async def test_wrong_logins_all_get_the_same_answer(vault: Any, email: str) -> None:
    begun = await sign_up(vault, email)
    await vault.owner.execute("UPDATE users SET enabled = false WHERE id = $1", begun["user_id"])
    await sign_up(vault, f"other.{email}")
    answers = [
        await log_in(vault, email),  # disabled
        await log_in(vault, f"other.{email}", "wrong password"),
        await log_in(vault, f"other.{email}", ""),
        await log_in(vault, f"nobody.{email}"),
        await log_in(vault, "not an address"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert all("set-cookie" not in answer.headers for answer in answers)


async def test_an_address_that_nobody_has_costs_a_password_check_like_any_other(
    vault: Any, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_up(vault, email)
    checked: list[str] = []

    def check(stored: str, given: str) -> bool:
        checked.append(stored)
        return False

    hashing = Hashing(check_one=check)
    monkeypatch.setattr(vault.app.state.services.keyvault.accounts, "_hashing", hashing)
    await log_in(vault, email, "wrong")
    await log_in(vault, f"nobody.{email}", "wrong")
    await log_in(vault, "not an address", "wrong")
    assert len(checked) == 3
    assert checked[1:] == [NOBODYS_HASH, NOBODYS_HASH]


@pytest.mark.usefixtures("_quick_passwords")
async def test_guessing_one_account_is_slowed_down_wherever_it_comes_from(vault: Any, email: str) -> None:
    await sign_up(vault, email)
    statuses = []
    for number in range(11):
        answer = await log_in(vault, email, password="wrong", **{"x-forwarded-for": f"203.0.113.{number}"})
        statuses.append(answer.status_code)
    assert statuses == [401] * 10 + [429]
    assert 1 <= int(answer.headers["retry-after"]) <= 600
    assert (await log_in(vault, email)).status_code == 429
    assert (await log_in(vault, f"other.{email}", "x")).status_code == 401


@pytest.mark.usefixtures("_quick_passwords")
async def test_guesses_side_by_side_are_all_counted(vault: Any, email: str) -> None:
    await sign_up(vault, email)
    answers = await asyncio.gather(*(log_in(vault, email, password="wrong") for _ in range(20)))
    assert sum(answer.status_code == 401 for answer in answers) == 10
    assert sum(answer.status_code == 429 for answer in answers) == 10


@pytest.mark.usefixtures("_quick_passwords")
async def test_guessing_from_one_address_is_slowed_down_whatever_the_account(vault: Any, email: str) -> None:
    place = {"x-forwarded-for": "spoofed, 203.0.113.77"}
    statuses = [(await log_in(vault, f"nobody{number}.{email}", "x", **place)).status_code for number in range(52)]
    assert statuses == [401] * 50 + [429] * 2
    assert (await log_in(vault, f"else.{email}", **place)).status_code == 429
    assert (await log_in(vault, f"else.{email}", "x", **{"x-forwarded-for": "203.0.113.78"})).status_code == 401


@pytest.mark.usefixtures("_quick_passwords")
async def test_good_logins_are_not_counted_as_guesses(vault: Any, email: str) -> None:
    await sign_up(vault, email)
    for _ in range(12):
        assert (await log_in(vault, email)).status_code == 200


async def test_after_logging_out_the_token_counts_nowhere_and_others_of_the_user_do(
    vault: Any, email: str, eventually: Any
) -> None:
    one = (await sign_up(vault, email))["access_token"]
    other = (await log_in(vault, email)).json()["access_token"]
    vault.client.cookies.clear()
    answer = await vault.client.post("/api/auth/logout", headers=bearer(one))
    assert answer.status_code == 204
    assert f'{COOKIE}=""' in answer.headers["set-cookie"]
    token_id = jwt.decode(one, options={"verify_signature": False})["jti"]
    assert f"revoked.{token_id}" in await vault.bucket("sessions")  # before the answer

    async def is_refused() -> bool:
        return await me(vault, one) == 401

    await eventually(is_refused, 1.0)
    assert await me(vault, other) == 200
    assert (await vault.client.post("/api/auth/logout", headers=bearer(one))).status_code == 401


async def test_another_password_ends_every_session_but_the_one_that_it_begins(
    vault: Any, email: str, eventually: Any
) -> None:
    first = (await sign_up(vault, email))["access_token"]
    other = (await log_in(vault, email)).json()["access_token"]
    vault.client.cookies.clear()
    body = {"current_password": PASSWORD, "new_password": "another long one"}
    for wrong in ({**body, "current_password": "wrong one"}, {**body, "new_password": "short"}):
        refused = await vault.client.post("/api/auth/password", json=wrong, headers=bearer(first))
        assert refused.status_code in (403, 422)
    assert await me(vault, other) == 200
    answer = await vault.client.post("/api/auth/password", json=body, headers=bearer(first))
    assert answer.status_code == 200
    vault.client.cookies.clear()

    async def are_out() -> bool:
        return [await me(vault, token) for token in (first, other)] == [401, 401]

    await eventually(are_out, 1.0)
    assert await me(vault, answer.json()["access_token"]) == 200
    assert (await log_in(vault, email)).status_code == 401
    assert (await log_in(vault, email, "another long one")).status_code == 200
    user_id = answer.json()["user_id"]
    assert await vault.audit_actions(user_id) == ["user.created", "user.password_changed"]


@pytest.mark.usefixtures("_quick_passwords")
async def test_guessing_the_present_password_is_slowed_down_like_a_login(vault: Any, email: str) -> None:
    token = (await sign_up(vault, email))["access_token"]
    vault.client.cookies.clear()
    body = {"current_password": "a guess", "new_password": "another long one"}
    statuses = [
        (await vault.client.post("/api/auth/password", json=body, headers=bearer(token))).status_code for _ in range(11)
    ]
    assert statuses == [403] * 10 + [429]


async def test_a_write_by_cookie_from_a_foreign_page_is_refused(vault: Any, email: str) -> None:
    await sign_up(vault, email)
    assert (await log_in(vault, email)).status_code == 200
    for foreign in FOREIGN:
        answer = await vault.client.post("/api/v1/keys", json={"name": "a"}, headers=foreign)
        assert answer.status_code == 403
    own = {"sec-fetch-site": "same-origin"}
    assert (await vault.client.post("/api/v1/keys", json={"name": "a"}, headers=own)).status_code == 201
    for foreign in FOREIGN:
        assert (await log_in(vault, email, **foreign)).status_code == 403


async def test_nonsense_instead_of_a_token_is_a_401(vault: Any, email: str) -> None:
    token = (await sign_up(vault, email))["access_token"]
    header, payload, signature = token.split(".")
    unsigned = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", algorithm="none")
    signer = TokenSigner(read_private_key(vault.environment["JWT_PRIVATE_KEY"]), "", "")
    claims = jwt.decode(token, options={"verify_signature": False})
    confused = jwt.encode(claims, signer.public_bytes, algorithm="HS256", headers={"kid": signer.kid})
    for wrong in ("x", "a.b.c", token[:-4] + "AAAA", f"{header}.{payload}.", unsigned, confused, "x" * 5000):
        answer = await vault.client.get("/api/auth/me", headers={"authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401, wrong
    assert signature


async def test_a_change_of_standing_ends_the_users_sessions_and_the_next_has_it(
    vault: Any, email: str, eventually: Any
) -> None:
    admin = await vault.admin()
    begun = await sign_up(vault, email)
    old = begun["access_token"]
    answer = await vault.call("PATCH", f"/api/v1/users/{begun['user_id']}", admin, {"tier": "starter", "role": "admin"})
    assert answer.status_code == 200
    assert (answer.json()["tier"], answer.json()["role"]) == ("starter", "admin")
    told = UserSessions.model_validate_json((await vault.bucket("sessions"))[f"user.{begun['user_id']}"])
    assert told.not_before.timestamp() > jwt.decode(old, options={"verify_signature": False})["iat"]

    async def is_refused() -> bool:
        return await me(vault, old) == 401

    await eventually(is_refused, 1.0)
    fresh = (await log_in(vault, email)).json()["access_token"]
    shown = (await vault.client.get("/api/auth/me", headers=bearer(fresh))).json()
    assert (shown["tier"], shown["role"]) == ("starter", "admin")


async def test_a_disabled_user_is_out_at_once_and_cannot_come_in(vault: Any, email: str, eventually: Any) -> None:
    admin = await vault.admin()
    begun = await sign_up(vault, email)
    path = f"/api/v1/users/{begun['user_id']}"
    assert (await vault.call("PATCH", path, admin, {"enabled": False})).json()["enabled"] is False

    async def is_refused() -> bool:
        return await me(vault, begun["access_token"]) == 401

    await eventually(is_refused, 1.0)
    assert (await log_in(vault, email)).status_code == 401
    await vault.call("PATCH", path, admin, {"enabled": True})
    assert (await log_in(vault, email)).status_code == 200
