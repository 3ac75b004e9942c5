"""Google's service accounts: a key that signs for itself who it is, which Google exchanges for a short-lived token. Pure.

A credential of scheme `google` is a ready access token, or the account's JSON key file in base64 (one line). The exchange
is an HTTP call, and its caller's; the address is Google's own, whatever the file says: a file that somebody brings must
not decide whom a signed assertion is sent to.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LIFETIME_SECONDS = 3600
"""How long an assertion is good for, at most; the token lives as long."""

_NO_ACCOUNT = "it is not the key file of a service account"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """An account's name, and the key that it signs with."""

    email: str
    key_id: str
    key: RSAPrivateKey = field(repr=False)

    @classmethod
    def parse(cls, secret: str) -> Self | None:
        """The account in a secret; None for a ready token. ValueError, without the secret, for a file that is none of a
        service account."""
        file = _json_of(secret)
        if file is None:
            return None
        try:
            key = load_pem_private_key(str(file["private_key"]).encode(), password=None)
            email, key_id = str(file["client_email"]), str(file["private_key_id"])
        except (KeyError, ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(_NO_ACCOUNT) from None
        if file.get("type") != "service_account" or not isinstance(key, RSAPrivateKey):
            raise ValueError(_NO_ACCOUNT)
        return cls(email, key_id, key)

    def request(self, now: datetime) -> bytes:
        """The form that asks for a token."""
        return urlencode({"grant_type": _GRANT, "assertion": self._assertion(int(now.timestamp()))}).encode()

    def _assertion(self, now: int) -> str:
        """Who asks for what, signed (RS256)."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {"iss": self.email, "scope": SCOPE, "aud": TOKEN_URL, "iat": now, "exp": now + LIFETIME_SECONDS}
        said = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{said}.{_encoded(self.key.sign(said.encode(), PKCS1v15(), SHA256()))}"


def _json_of(secret: str) -> dict[str, Any] | None:
    """The JSON object that a secret is in base64; None when it is none."""
    try:
        found = json.loads(base64.b64decode(secret, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
