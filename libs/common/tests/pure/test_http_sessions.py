"""Session tokens: accepted when keyvault signed them, for us, in time, and nobody has ended them; refused otherwise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx2
import jwt
import pytest
from common.contracts.snapshots import SigningKeySnapshot, TokenRevocation, UserSessions
from common.errors import Unauthorized
from common.http.app import create_api
from common.http.sessions import COOKIE, Caller, Sessions, current_admin, current_caller
from cryptography.hazmat.primitives import serialization as keys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SIGNER.public_key().public_bytes(keys.Encoding.Raw, keys.PublicFormat.Raw)
PUBLIC_PEM = SIGNER.public_key().public_bytes(keys.Encoding.PEM, keys.PublicFormat.SubjectPublicKeyInfo)


def text(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def snapshot_of(raw: bytes, kid: str = "k1") -> bytes:
    """The snapshot of a public key."""
    return SigningKeySnapshot(kid=kid, public_key=text(raw)).model_dump_json().encode()


@pytest.fixture
def sessions() -> Sessions:
    """Sessions that know the signer's key as `k1`."""
    made = Sessions()
    made.apply("key.k1", snapshot_of(PUBLIC))
    return made


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a token that counts; None leaves one out."""
    now = datetime.now(UTC).timestamp()
    right = {"iss": "tollgate", "aud": "tollgate", "sub": "u1", "jti": "t1", "iat": now, "exp": now + 3600}
    return {
        name: value
        for name, value in {**right, "role": "admin", "tier": "starter", **changed}.items()
        if value is not None
    }


def token(kid: str | None = "k1", signer: Ed25519PrivateKey = SIGNER, **changed: Any) -> str:
    """A token signed as keyvault signs."""
    return jwt.encode(claims(**changed), signer, algorithm="EdDSA", headers={} if kid is None else {"kid": kid})


def refused(sessions: Sessions, given: str) -> bool:
    """Whether a token is refused as an unknown caller."""
    try:
        sessions.verify(given)
    except Unauthorized:
        return True
    return False


def test_a_token_that_counts_names_its_caller(sessions: Sessions) -> None:
    caller = sessions.verify(token())
    assert (caller.user_id, caller.role, caller.tier, caller.token_id) == ("u1", "admin", "starter", "t1")
    assert caller.is_admin
    assert timedelta(minutes=59) < caller.expires_at - datetime.now(UTC) < timedelta(minutes=61)


def test_a_token_that_says_nothing_of_its_rights_has_the_least(sessions: Sessions) -> None:
    caller = sessions.verify(token(role=None, tier=None))
    assert (caller.role, caller.tier, caller.is_admin) == ("user", "trial", False)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"jti": None},
        {"nbf": 2**33},
        {"kid": "k2"},
        {"kid": None},
        {"signer": Ed25519PrivateKey.generate()},
    ],
    ids=lambda changed: ",".join(
        f"{name}={value if name != 'signer' else 'another'}" for name, value in changed.items()
    ),
)
def test_a_token_that_is_wrong_in_one_thing_is_refused(sessions: Sessions, changed: dict[str, Any]) -> None:
    assert refused(sessions, token(**changed))


def test_a_moment_of_difference_between_two_clocks_does_not_refuse_a_fresh_token(sessions: Sessions) -> None:
    assert sessions.verify(token(iat=datetime.now(UTC).timestamp() + 2)).user_id == "u1"


def forged(header: dict[str, Any], signature: bytes = b"") -> str:
    """A token with a header of the forger's choice."""
    return ".".join([text(json.dumps(header).encode()), text(json.dumps(claims()).encode()), text(signature)])


def test_the_algorithm_is_ours_and_not_the_tokens(sessions: Sessions) -> None:
    assert refused(sessions, forged({"alg": "none", "kid": "k1"}))
    assert refused(sessions, jwt.encode(claims(), "", algorithm="none", headers={"kid": "k1"}))
    for secret in (PUBLIC, text(PUBLIC).encode(), b"x" * 32):
        assert refused(sessions, jwt.encode(claims(), secret, algorithm="HS256", headers={"kid": "k1"}))
    # PyJWT will not sign with a PEM as if it were a password; a forger does.
    body = forged({"alg": "HS256", "typ": "JWT", "kid": "k1"}).rpartition(".")[0]
    mark = hmac.new(PUBLIC_PEM, body.encode(), hashlib.sha256).digest()
    assert refused(sessions, f"{body}.{text(mark)}")


def test_a_changed_claim_breaks_the_signature(sessions: Sessions) -> None:
    header, _, signature = token(role="user").split(".")
    assert refused(sessions, f"{header}.{text(json.dumps(claims(role='admin')).encode())}.{signature}")


@given(st.text() | st.text(alphabet="abc.=_-éÿ\x00 ", max_size=300))
def test_garbage_is_an_unknown_caller_and_never_an_error_of_ours(garbage: str) -> None:
    made = Sessions()
    made.apply("key.k1", snapshot_of(PUBLIC))
    assert refused(made, garbage)


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(["k1", "k2", 7, None, ["k1"], {"a": 1}]))
def test_garbage_in_the_form_of_a_token_is_an_unknown_caller(body: bytes, signature: bytes, kid: Any) -> None:
    made = Sessions()
    made.apply("key.k1", snapshot_of(PUBLIC))
    header = text(json.dumps({"alg": "EdDSA", "kid": kid}).encode())
    assert refused(made, f"{header}.{text(body)}.{text(signature)}")


def test_an_enormous_token_is_refused_before_it_is_read(sessions: Sessions) -> None:
    assert refused(sessions, token(more="x" * 5000))


def test_a_revoked_token_is_refused_until_the_revocation_is_gone(sessions: Sessions) -> None:
    sessions.apply("revoked.t1", TokenRevocation(expires_at=datetime.now(UTC)).model_dump_json().encode())
    assert refused(sessions, token())
    assert not refused(sessions, token(jti="t2"))
    sessions.apply("revoked.t1", None)
    assert not refused(sessions, token())


def test_ending_a_users_sessions_refuses_what_was_issued_before_and_nobody_elses(sessions: Sessions) -> None:
    ended = datetime.now(UTC)
    sessions.apply("user.u1", UserSessions(not_before=ended).model_dump_json().encode())
    assert refused(sessions, token(iat=ended.timestamp() - 0.001))
    assert not refused(sessions, token(iat=ended.timestamp() + 0.001))
    assert not refused(sessions, token(sub="u2", iat=ended.timestamp() - 1))
    sessions.apply("user.u1", None)
    assert not refused(sessions, token(iat=ended.timestamp() - 1))


def test_a_key_that_is_withdrawn_no_longer_counts_and_two_can_at_once(sessions: Sessions) -> None:
    other = Ed25519PrivateKey.generate()
    raw = other.public_key().public_bytes(keys.Encoding.Raw, keys.PublicFormat.Raw)
    sessions.apply("key.k2", snapshot_of(raw, "k2"))
    assert not refused(sessions, token())
    assert not refused(sessions, token(kid="k2", signer=other))
    sessions.apply("key.k1", None)
    assert refused(sessions, token())
    assert not refused(sessions, token(kid="k2", signer=other))


@pytest.mark.parametrize("key", ["key.k1", "revoked.t1", "user.u1"])
@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"null", b'{"kid": "k1", "public_key": "short"}'])
def test_an_unreadable_snapshot_is_refused_and_changes_nothing(sessions: Sessions, key: str, body: bytes) -> None:
    sessions.apply("revoked.t1", TokenRevocation(expires_at=datetime.now(UTC)).model_dump_json().encode())
    with pytest.raises(ValueError):
        sessions.apply(key, body)
    assert refused(sessions, token())
    assert not refused(sessions, token(jti="t2"))


def test_a_kind_of_snapshot_that_a_later_release_adds_is_left_alone(sessions: Sessions) -> None:
    sessions.apply("tenant.t9", b"\xff")
    sessions.apply("tenant.t9", None)
    assert not refused(sessions, token())


# --- at the door -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def caller_of(sessions: Sessions) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an API that asks who calls."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    app = create_api("Small", lifespan, CollectorRegistry())
    app.state.sessions = sessions

    async def whoami(caller: Annotated[Caller, Depends(current_caller)]) -> str:
        return caller.user_id

    async def administer(caller: Annotated[Caller, Depends(current_admin)]) -> str:
        return caller.user_id

    app.add_api_route("/me", whoami, methods=["GET", "POST"])
    app.add_api_route("/admin", administer)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://tollgate.example") as client:
        yield client


async def test_a_token_comes_as_a_bearer_or_in_the_cookie(sessions: Sessions) -> None:
    async with caller_of(sessions) as client:
        assert (await client.get("/me")).status_code == 401
        assert (await client.get("/me", headers={"authorization": f"bearer  {token()}"})).json() == "u1"
        assert (await client.get("/me", headers={"cookie": f"{COOKIE}={token()}"})).json() == "u1"
        for header in ("Bearer", "Bearer ", "Basic dTpw", token()):
            assert (await client.get("/me", headers={"authorization": header})).status_code == 401


async def test_a_header_of_bytes_that_are_no_text_is_an_unknown_caller(sessions: Sessions) -> None:
    async with caller_of(sessions) as client:
        answer = await client.get("/me", headers={b"authorization": b"Bearer \xff\xfe.\x80"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_what_is_for_admins_is_forbidden_to_others(sessions: Sessions) -> None:
    async with caller_of(sessions) as client:
        assert (await client.get("/admin", headers={"authorization": f"Bearer {token()}"})).status_code == 200
        answer = await client.get("/admin", headers={"authorization": f"Bearer {token(role='user')}"})
        assert (answer.status_code, answer.json()["detail"]) == (403, "admin access required")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://tollgate.example"}, 403),
        ({"sec-fetch-site": "anything else"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://tollgate.example.evil.example"}, 403),
        ({"origin": "http://tollgate.example"}, 200),
        ({"origin": "https://front.example", "x-forwarded-host": "front.example"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://tollgate.example"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({}, 200),
    ],
    ids=str,
)
async def test_a_write_by_cookie_must_come_from_our_own_pages(
    sessions: Sessions, headers: dict[str, str], status: int
) -> None:
    async with caller_of(sessions) as client:
        cookie = {"cookie": f"{COOKIE}={token()}"}
        assert (await client.post("/me", headers={**headers, **cookie})).status_code == status
        assert (await client.get("/me", headers={**headers, **cookie})).status_code == 200
        bearer = {"authorization": f"Bearer {token()}"}
        assert (await client.post("/me", headers={**headers, **bearer})).status_code == 200
