"""Service accounts: what is one, and what it signs."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from common.providers.service_account import SCOPE, TOKEN_URL, ServiceAccount
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

KEY = rsa.generate_private_key(65537, 2048)
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def file(**changes: Any) -> dict[str, Any]:
    whole = {
        "type": "service_account", "client_email": "a@b.example", "private_key_id": "k-1", "private_key": pem(KEY),
        "token_uri": "https://elsewhere.example/token", **changes,
    }  # fmt: skip
    return {name: value for name, value in whole.items() if value is not None}


def secret(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_the_assertion_says_who_asks_for_what_and_is_signed() -> None:
    account = ServiceAccount.parse(secret(file()))
    assert account is not None
    form = parse_qs(account.request(NOW).decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in form["assertion"][0].split("."))
    assert json.loads(head) == {"alg": "RS256", "typ": "JWT", "kid": "k-1"}
    now = int(NOW.timestamp())
    assert json.loads(claims) == {
        "iss": "a@b.example", "scope": SCOPE, "aud": TOKEN_URL, "iat": now, "exp": now + 3600,
    }  # fmt: skip
    said = form["assertion"][0].rpartition(".")[0].encode()
    KEY.public_key().verify(signature, said, PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(signature, said + b"x", PKCS1v15(), SHA256())


@pytest.mark.parametrize(
    "ready",
    ["ya29.a0AfB_token", "sim-ok-vertex", secret("a text"), "x" * 40, base64.b64encode(b"[" * 6_000).decode()],
    ids=["a token", "the simulator's", "a text", "no JSON", "JSON without end"],
)
def test_what_is_no_file_is_a_ready_token(ready: str) -> None:
    assert ServiceAccount.parse(ready) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "authorized_user"}, {"client_email": None}, {"private_key_id": None}, {"private_key": None},
        {"private_key": "no key"}, {"private_key": pem(ed25519.Ed25519PrivateKey.generate())},
    ],
)  # fmt: skip
def test_another_file_is_refused_without_telling_what_is_in_it(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^it is not the key file of a service account$"):
        ServiceAccount.parse(secret(file(**changes)))


def test_the_key_is_in_no_representation() -> None:
    assert "rsa" not in repr(ServiceAccount.parse(secret(file()))).lower()
