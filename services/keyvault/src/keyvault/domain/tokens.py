"""Session tokens: JWTs signed with our Ed25519 key (EdDSA), good for 12 hours.

Whoever holds the public key (bucket `sessions`) verifies them; `common.http.sessions` is the other side of this page.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt
from common.contracts.snapshots import SigningKeySnapshot
from common.secret import Secret
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from keyvault.domain.accounts import User

SESSION_SECONDS = 12 * 3600
_ALGORITHM = "EdDSA"
_RAW_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A session that has begun: its token and until when it holds."""

    user_id: str
    token: Secret
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Our private key; `kid` is a short hash of its public half."""

    private_key: Ed25519PrivateKey
    issuer: str
    audience: str

    @property
    def public_bytes(self) -> bytes:
        """The raw public key."""
        return self.private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def kid(self) -> str:
        """By which name the public key is known."""
        return hashlib.sha256(self.public_bytes).hexdigest()[:16]

    def snapshot(self) -> SigningKeySnapshot:
        """What the bucket `sessions` says of this key."""
        public_key = base64.urlsafe_b64encode(self.public_bytes).decode().rstrip("=")
        return SigningKeySnapshot(kid=self.kid, public_key=public_key)

    def sign(self, user: User, token_id: str, at: datetime) -> Session:
        """A token for a user, from now on. `iat` has fractions, so that a session begun right after the user's others
        were ended is not taken for one of them."""
        expires_at = at + timedelta(seconds=SESSION_SECONDS)
        claims = {
            "sub": user.id,
            "jti": token_id,
            "iat": at.timestamp(),
            "exp": int(expires_at.timestamp()),
            "iss": self.issuer,
            "aud": self.audience,
            "role": user.role,
            "tier": user.tier,
        }
        token = jwt.encode(claims, self.private_key, algorithm=_ALGORITHM, headers={"kid": self.kid})
        return Session(user.id, Secret(token), expires_at.replace(microsecond=0))


def read_private_key(text: str) -> Ed25519PrivateKey:
    """An Ed25519 private key from PEM, or from base64url of its 32 raw bytes; ValueError (without it) when it is none."""
    try:
        if "-----BEGIN" in text:
            key = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
            if isinstance(key, Ed25519PrivateKey):
                return key
        else:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            if len(raw) == _RAW_KEY_BYTES:
                return Ed25519PrivateKey.from_private_bytes(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass  # said below, without repeating what was given
    raise ValueError("should be an Ed25519 private key: PEM, or base64url of its 32 bytes")
