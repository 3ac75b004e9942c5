"""A login that was begun at the issuer, as its browser keeps it until it comes back: a cookie, signed by us.

It holds what binds the answer to this browser and this login (state, nonce, PKCE verifier), where to go after, and, when
an account is being linked, whose. Signed with the key of sessions under an audience of its own: it is no session, and a
session is no intent. That each counts once is the store's matter.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from common.errors import BadRequest
from common.secret import Secret

from keyvault.domain.tokens import TokenSigner

INTENT_SECONDS = 600
MAX_RETURN_CHARACTERS = 512
_ALGORITHM = "EdDSA"
_AUDIENCE = "tollgate-login"
_MAX_CHARACTERS = 4096


class LoginNotBegun(BadRequest):
    """The answer belongs to no login that this browser has begun and not ended."""

    code = "login_not_begun"


@dataclass(frozen=True, slots=True)
class LoginIntent:
    """One login on its way. `link_user_id`: whose account is to be linked; None to sign in."""

    state: str
    nonce: str
    verifier: Secret
    return_to: str
    link_user_id: str | None
    expires_at: datetime

    @property
    def challenge(self) -> str:
        """S256 of the verifier, base64url without padding (RFC 7636, 4.2)."""
        digest = hashlib.sha256(self.verifier.reveal().encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @property
    def state_hash(self) -> str:
        """By which it is known that this login has ended."""
        return hashlib.sha256(self.state.encode()).hexdigest()

    def is_answered_by(self, state: str) -> bool:
        """Whether an answer belongs to this login."""
        return hmac.compare_digest(self.state.encode(), state.encode())


def begun(state: str, nonce: str, verifier: str, return_to: str, user_id: str | None, at: datetime) -> LoginIntent:
    """A login that begins now."""
    expires_at = (at + timedelta(seconds=INTENT_SECONDS)).replace(microsecond=0)
    return LoginIntent(state, nonce, Secret(verifier), local_path(return_to), user_id, expires_at)


def signed(intent: LoginIntent, signer: TokenSigner) -> Secret:
    """The cookie's value."""
    claims = {
        "aud": _AUDIENCE,
        "exp": int(intent.expires_at.timestamp()),
        "state": intent.state,
        "nonce": intent.nonce,
        "verifier": intent.verifier.reveal(),
        "return_to": intent.return_to,
        "link_user_id": intent.link_user_id,
    }
    return Secret(jwt.encode(claims, signer.private_key, algorithm=_ALGORITHM))


def read_intent(text: str, signer: TokenSigner, now: datetime) -> LoginIntent:
    """The login that a cookie holds; LoginNotBegun when it holds none, or one that took too long."""
    if not text or len(text) > _MAX_CHARACTERS:
        raise LoginNotBegun("no login was begun in this browser, or it took too long: begin again")
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            signer.private_key.public_key(),
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["exp"], "verify_exp": False},
        )
        expires_at = datetime.fromtimestamp(claims["exp"], now.tzinfo)
    except jwt.PyJWTError:
        raise LoginNotBegun("no login was begun in this browser: begin again") from None
    if expires_at <= now:
        raise LoginNotBegun("the login took too long: begin again")
    verifier = Secret(claims["verifier"])
    return LoginIntent(
        claims["state"], claims["nonce"], verifier, claims["return_to"], claims["link_user_id"], expires_at
    )


def local_path(text: str) -> str:
    """A path of our own pages to go to; `/` for anything that could lead elsewhere."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text
    is_plain = text.isascii() and text.isprintable() and len(text) <= MAX_RETURN_CHARACTERS
    return text if is_path and is_plain else "/"
