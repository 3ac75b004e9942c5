"""Session tokens: what we sign, every service verifies."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from common.contracts.snapshots import TokenRevocation, UserSessions
from common.errors import Unauthorized
from common.http.sessions import AUDIENCE, ISSUER, Sessions
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from keyvault.domain.accounts import User
from keyvault.domain.tokens import SESSION_SECONDS, TokenSigner, read_private_key

NOW = datetime.now(UTC)
USER = User("user-1", "a@b.c", "", "", "admin", "starter", True, NOW, NOW)
KEY = Ed25519PrivateKey.generate()
SIGNER = TokenSigner(KEY, ISSUER, AUDIENCE)


def sessions(signer: TokenSigner = SIGNER) -> Sessions:
    known = Sessions()
    known.apply(f"key.{signer.kid}", signer.snapshot().model_dump_json().encode())
    return known


def test_a_signed_token_names_its_user_everywhere() -> None:
    session = SIGNER.sign(USER, "token-1", NOW)
    caller = sessions().verify(session.token.reveal())
    assert (caller.user_id, caller.role, caller.tier, caller.token_id) == ("user-1", "admin", "starter", "token-1")
    assert caller.expires_at == session.expires_at
    assert timedelta(seconds=SESSION_SECONDS - 1) <= session.expires_at - NOW <= timedelta(seconds=SESSION_SECONDS)


def test_a_token_of_another_key_is_refused() -> None:
    other = TokenSigner(Ed25519PrivateKey.generate(), ISSUER, AUDIENCE)
    with pytest.raises(Unauthorized):
        sessions().verify(other.sign(USER, "t", NOW).token.reveal())
    claims = jwt.decode(SIGNER.sign(USER, "t", NOW).token.reveal(), options={"verify_signature": False})
    forged = jwt.encode(claims, other.private_key, algorithm="EdDSA", headers={"kid": SIGNER.kid})
    with pytest.raises(Unauthorized):
        sessions().verify(forged)


def test_a_token_that_has_run_out_is_refused() -> None:
    with pytest.raises(Unauthorized):
        sessions().verify(SIGNER.sign(USER, "t", NOW - timedelta(seconds=SESSION_SECONDS + 2)).token.reveal())


def test_a_session_begun_right_after_the_others_were_ended_is_none_of_them() -> None:
    known = sessions()
    ended = NOW - timedelta(seconds=1)
    known.apply("user.user-1", UserSessions(not_before=ended).model_dump_json().encode())
    known.verify(SIGNER.sign(USER, "t", ended + timedelta(microseconds=1)).token.reveal())
    known.verify(SIGNER.sign(USER, "t", ended).token.reveal())
    with pytest.raises(Unauthorized):
        known.verify(SIGNER.sign(USER, "t", ended - timedelta(microseconds=1)).token.reveal())


def test_a_revoked_token_is_refused_and_its_neighbour_is_not() -> None:
    known = sessions()
    known.apply("revoked.one", TokenRevocation(expires_at=NOW).model_dump_json().encode())
    with pytest.raises(Unauthorized):
        known.verify(SIGNER.sign(USER, "one", NOW).token.reveal())
    known.verify(SIGNER.sign(USER, "other", NOW).token.reveal())


def test_a_session_does_not_print_its_token() -> None:
    session = SIGNER.sign(USER, "t", NOW)
    assert session.token.reveal() not in repr(session)


def test_a_private_key_is_read_from_pem_and_from_raw_bytes() -> None:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    raw = base64.urlsafe_b64encode(KEY.private_bytes_raw()).decode()
    for text in (pem, pem.replace("\n", "\\n"), raw, raw.rstrip("=")):
        assert replace(SIGNER, private_key=read_private_key(text)).kid == SIGNER.kid


EC_PEM = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("text", ["", "short", "A" * 44, "ü" * 43, "-----BEGIN PRIVATE KEY-----\nx", EC_PEM])
def test_what_is_no_ed25519_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="should be an Ed25519 private key") as refusal:
        read_private_key(text)
    assert not text or text not in str(refusal.value)
