"""Who calls a management API: session tokens, verified by every service itself.

keyvault signs them (EdDSA, 12 h) and pushes its public keys and all revocations into the bucket `sessions`, of which
each service holds a mirror. A token is accepted when its signature, issuer, audience and expiry hold and neither it nor its
user's sessions up to then were revoked. It comes as a bearer or in the `session_token` cookie; a write by cookie must
come from our own pages.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import Request

from common.actors import Actor
from common.contracts.snapshots import (
    AccountTier,
    Role,
    SigningKeySnapshot,
    TokenRevocation,
    UserSessions,
)
from common.errors import Forbidden, Unauthorized

ISSUER = "tollgate"
AUDIENCE = "tollgate"
ALGORITHM = "EdDSA"
COOKIE = "session_token"
_MAX_TOKEN_BYTES = 4096
_MAX_ORIGIN_CHARACTERS = 64
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "same-site", "none"})


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in person, or a service acting for one."""

    user_id: str
    role: Role
    tier: AccountTier
    token_id: str
    expires_at: datetime
    origin: str | None = None
    """The address that the request comes from."""

    @property
    def is_admin(self) -> bool:
        """May see and change what is everybody's."""
        return self.role == "admin"

    @property
    def actor(self) -> Actor:
        """The same, for the audit trail."""
        return Actor(self.user_id, self.origin)


class Sessions:
    """The public keys and revocations of the `sessions` bucket; `apply` is the mirror's `on_change`."""

    def __init__(self) -> None:
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._revoked: dict[str, datetime] = {}
        self._not_before: dict[str, datetime] = {}
        self._tables: dict[str, dict[str, Any]] = {
            "key": self._keys,
            "revoked": self._revoked,
            "user": self._not_before,
        }

    def apply(self, key: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        kind, _, name = key.partition(".")
        table = self._tables.get(kind)
        if table is None:
            return  # of a later release
        if body is None:
            table.pop(name, None)
        else:
            table[name] = _READERS[kind](body)

    def verify(self, token: str) -> Caller:
        """The caller whom a token names; Unauthorized when it does not count."""
        if len(token) > _MAX_TOKEN_BYTES:
            raise Unauthorized("invalid session token")
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Not `iat`: keyvault's clock may be ahead of ours by a moment, and its signature says enough.
                options={"require": ["exp", "iat", "sub", "jti", "iss", "aud"], "verify_iat": False},
            )
        except (jwt.InvalidTokenError, KeyError) as error:
            raise Unauthorized("invalid session token") from error
        issued_at = datetime.fromtimestamp(float(claims["iat"]), UTC)
        not_before = self._not_before.get(str(claims["sub"]))
        if claims["jti"] in self._revoked or (not_before is not None and issued_at < not_before):
            raise Unauthorized("session has ended")
        return Caller(
            user_id=str(claims["sub"]),
            role=cast(Role, claims.get("role", "user")),
            tier=cast(AccountTier, claims.get("tier", "trial")),
            token_id=str(claims["jti"]),
            expires_at=datetime.fromtimestamp(float(claims["exp"]), UTC),
        )


def token_of(request: Request) -> tuple[str | None, bool]:
    """The session token of a request, and whether it came by cookie."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return bearer.strip(), False
    return request.cookies.get(COOKIE), True


async def current_caller(request: Request) -> Caller:
    """FastAPI dependency: the signed-in caller. The app keeps its `Sessions` in `app.state.sessions`."""
    token, by_cookie = token_of(request)
    if not token:
        raise Unauthorized("not signed in")
    if by_cookie:
        check_origin(request)
    sessions: Sessions = request.app.state.sessions
    return replace(sessions.verify(token), origin=origin_of(request))


def origin_of(request: Request) -> str | None:
    """The address that a request comes from, as the proxy next to us saw it (the gateway's edge)."""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    origin = forwarded or (request.client.host if request.client else None)
    return origin[:_MAX_ORIGIN_CHARACTERS] if origin else None


async def current_admin(request: Request) -> Caller:
    """FastAPI dependency: the signed-in caller, who must be an admin."""
    caller = await current_caller(request)
    if not caller.is_admin:
        raise Forbidden("admin access required")
    return caller


def check_origin(request: Request) -> None:
    """Refuse a write that a browser sends by cookie from a foreign page; a client without these headers passes."""
    if request.method in _SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITES:
        raise Forbidden("cross-site request refused")
    origin = request.headers.get("origin")
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    if site is None and origin is not None and origin.partition("://")[2] != host:
        raise Forbidden("cross-site request refused")


def _public_key(body: bytes) -> Ed25519PublicKey:
    text = SigningKeySnapshot.model_validate_json(body).public_key
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


_READERS: Mapping[str, Callable[[bytes], Any]] = MappingProxyType(
    {
        "key": _public_key,
        "revoked": lambda body: TokenRevocation.model_validate_json(body).expires_at,
        "user": lambda body: UserSessions.model_validate_json(body).not_before,
    }
)
