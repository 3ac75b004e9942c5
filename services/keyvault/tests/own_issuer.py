"""An OpenID Connect issuer of our own, with real keys, that does what tests tell it to: also what no honest one would.

It takes whoever comes for `claims`, hands out codes that count once, checks the client's secret, the redirect URL and the
PKCE verifier, and signs with RSA. `forge`, when set, makes the ID token of the next login instead.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = "tollgate-tests"
CLIENT_SECRET = "a secret: between/us & the issuer"
REDIRECT_URL = "http://localhost/api/auth/oidc/callback"
Forge = Callable[["OwnIssuer", dict[str, Any]], str]


def rsa_key() -> RSAPrivateKey:
    """A key as issuers have them."""
    return generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class OwnIssuer:
    """One issuer; `url` is known once it is served."""

    url: str = ""
    key: RSAPrivateKey = field(default_factory=rsa_key)
    kid: str = "first"
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    forge: Forge | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    callback_extra: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Starlette:
        """The issuer as an ASGI app."""
        routes = {
            "/.well-known/openid-configuration": self._discovery,
            "/jwks": self._jwks,
            "/authorize": self._authorize,
            "/userinfo": self._userinfo,
        }
        return Starlette(
            routes=[
                *(Route(path, endpoint) for path, endpoint in routes.items()),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    @property
    def public_pem(self) -> bytes:
        """The public key, as anybody can have it."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(self, claims: dict[str, Any], key: Any = None, algorithm: str = "RS256", **header: Any) -> str:
        """A token by the issuer's key, or another."""
        return jwt.encode(claims, key or self.key, algorithm=algorithm, headers={"kid": self.kid, **header})

    def logout_token(self, subject: str, **changed: Any) -> str:
        """What the issuer sends when it ends somebody's session."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": subject,
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_hex(8),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            **changed,
        }
        return self.signed({name: value for name, value in claims.items() if value is not None})

    def rotate(self, kid: str) -> None:
        """Sign with another key from now on, and publish that alone."""
        self.key, self.kid = rsa_key(), kid

    async def _discovery(self, request: Request) -> Response:
        self.asked.append("discovery")
        paths = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "jwks",
            "userinfo_endpoint": "userinfo",
            "end_session_endpoint": "end?from=us",
        }
        urls = {name: f"{self.url}/{path}" for name, path in paths.items()}
        return JSONResponse({"issuer": self.url, **urls, **self.document})

    async def _jwks(self, request: Request) -> Response:
        self.asked.append("jwks")
        published = {**json.loads(RSAAlgorithm.to_jwk(self.key.public_key())), "kid": self.kid, "use": "sig"}
        return JSONResponse({"keys": [published]})

    async def _authorize(self, request: Request) -> Response:
        code = secrets.token_urlsafe(8)
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], **self.callback_extra}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 303)

    async def _token(self, request: Request) -> Response:
        self.proofs.append(request.headers.get("authorization", ""))
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(form["code"], None)
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        if (
            asked is None
            or form["redirect_uri"] != asked["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).decode().rstrip("=") != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= self.claims
        token = self.forge(self, claims) if self.forge else self.signed(claims)
        return JSONResponse({"token_type": "Bearer", "access_token": "of no use elsewhere", "id_token": token})

    async def _userinfo(self, request: Request) -> Response:
        self.asked.append("userinfo")
        return JSONResponse(self.userinfo)


@dataclass
class Browser:
    """One browser: walks to the issuer and back, and keeps its cookies."""

    client: httpx2.AsyncClient

    async def go(self, return_to: str = "/") -> str:
        """Begin a login and sign in at the issuer; the query that it sends back."""
        begun = await self.client.get("/api/auth/oidc/login", params={"return_to": return_to})
        assert begun.status_code == 303, begun.text
        return await self.at_issuer(begun.headers["location"])

    async def at_issuer(self, url: str) -> str:
        """Sign in at the issuer; the query that it sends back."""
        async with httpx2.AsyncClient() as elsewhere:
            answered = await elsewhere.get(url)
        assert answered.status_code == 303, answered.text
        assert answered.headers["location"].startswith(f"{REDIRECT_URL}?")
        return urlsplit(answered.headers["location"]).query

    async def come_back(self, query: str) -> httpx2.Response:
        """Come back with what the issuer said."""
        return await self.client.get(f"/api/auth/oidc/callback?{query}")

    async def log_in(self, return_to: str = "/") -> httpx2.Response:
        """The whole walk."""
        return await self.come_back(await self.go(return_to))

    async def me(self) -> dict[str, Any] | None:
        """Whose session the browser has."""
        answer = await self.client.get("/api/auth/me")
        return answer.json() if answer.status_code == 200 else None


def settings(issuer: OwnIssuer) -> Iterator[tuple[str, str]]:
    """What keyvault is told of the issuer."""
    yield "OIDC_ISSUER", issuer.url
    yield "OIDC_CLIENT_ID", CLIENT_ID
    yield "OIDC_CLIENT_SECRET", CLIENT_SECRET
    yield "OIDC_REDIRECT_URL", REDIRECT_URL
    yield "OIDC_ROLE_CLAIM", "realm_access.roles"
    yield "OIDC_TIER_CLAIM", "plan"
    yield "OIDC_TIER_VALUES", "gold=enterprise,silver=professional"
