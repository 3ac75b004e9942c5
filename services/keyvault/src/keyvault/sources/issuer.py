"""The OpenID Connect issuer over HTTP: its discovery document, its keys, a code for tokens, claims about somebody.

What it says of itself is kept for an hour, and its keys are read again sooner when a token names one that is not among
them, at most every half minute. While it is away it is asked every few seconds, and whoever waits meanwhile is told so at
once: a deadline is waited out by one login and not by each in turn. Everything has a deadline and a bound, redirects are
not followed, and the connection is guarded: a discovery document cannot send us to our neighbours. No error repeats what
was sent or answered; of a refused code the log names the standard's word for why.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import structlog
from common.clock import Clock
from common.errors import Unauthorized, Unavailable
from common.http.guarded import guarded_client, read_bounded
from common.secret import Secret
from common.urls import ForbiddenUrl, UrlRules

from keyvault.domain.oidc import OidcClient

log = structlog.get_logger()

_DEADLINE_SECONDS = 10.0
_FRESH_SECONDS = 3600.0
_KEYS_AGAIN_SECONDS = 30.0
_MAX_BODY_BYTES = 256 << 10
_MAX_KEYS = 100
_RETRY_SECONDS = 5
_DISCOVERY = "/.well-known/openid-configuration"
_REFUSALS = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant"),
        *("unauthorized_client", "unsupported_grant_type", "invalid_scope"),
    }
)
"""Why a code is refused (RFC 6749, 5.2); an issuer's other words are its own, and may be anything."""


class IssuerAway(Unavailable):
    """The identity provider does not answer, or not as OpenID Connect has it."""

    code = "identity_provider_away"


class CodeRefused(Unauthorized):
    """The identity provider does not take the code: used, too old, or not ours."""

    code = "code_refused"


@dataclass(frozen=True, slots=True)
class IssuerMetadata:
    """What we use of a discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    takes_basic: bool
    names_itself: bool


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What a code was worth."""

    id_token: str
    access_token: Secret | None

    def __repr__(self) -> str:
        return "IssuedTokens(***)"


class Issuer:
    """One issuer, by a client that is shared and closed elsewhere."""

    def __init__(self, client: httpx2.AsyncClient, clock: Clock, who: OidcClient, secret: Secret | None) -> None:
        self._client = client
        self._clock = clock
        self._who = who
        self._secret = secret
        self._reading = asyncio.Lock()
        self._metadata: tuple[float, IssuerMetadata] | None = None
        self._keys: tuple[float, list[Mapping[str, Any]]] | None = None
        self._unread: tuple[float, str] | None = None

    @classmethod
    def client(cls, rules: UrlRules) -> httpx2.AsyncClient:
        """The client that an issuer wants."""
        return guarded_client(rules, _DEADLINE_SECONDS)

    async def metadata(self) -> IssuerMetadata:
        """What the issuer says of itself. Raises IssuerAway."""
        async with self._reading:
            if self._metadata is None or self._age(self._metadata[0]) > _FRESH_SECONDS:
                url = self._who.issuer.removesuffix("/") + _DISCOVERY
                found = _metadata_of(await self._published(url), self._who.issuer)
                self._metadata = (self._clock.monotonic(), found)
            return self._metadata[1]

    async def keys(self, *, is_one_missing: bool = False) -> Sequence[Mapping[str, Any]]:
        """The issuer's public keys (JWK), read again when old, or when one is missing and they are not fresh."""
        url = (await self.metadata()).jwks_uri
        async with self._reading:
            oldest = _KEYS_AGAIN_SECONDS if is_one_missing else _FRESH_SECONDS
            if self._keys is None or self._age(self._keys[0]) > oldest:
                listed = (await self._published(url)).get("keys")
                found = listed[:_MAX_KEYS] if isinstance(listed, list) else []
                self._keys = (self._clock.monotonic(), [key for key in found if isinstance(key, dict)])
            return self._keys[1]

    async def exchange(self, code: str, verifier: Secret) -> IssuedTokens:
        """The tokens of a code that came back to us. Raises CodeRefused, IssuerAway."""
        metadata = await self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._who.redirect_url,
            "code_verifier": verifier.reveal(),
        }
        headers = self._proof(form, takes_basic=metadata.takes_basic)
        answer = await self._read("POST", metadata.token_endpoint, form=form, headers=headers)
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str):
            raise IssuerAway("the identity provider gave no ID token", retry_after_seconds=_RETRY_SECONDS)
        return IssuedTokens(id_token, Secret(access_token) if isinstance(access_token, str) else None)

    async def claims_about(self, access_token: Secret) -> dict[str, Any]:
        """What the issuer's userinfo endpoint says; nothing where it has none. Raises IssuerAway."""
        url = (await self.metadata()).userinfo_endpoint
        if url is None:
            return {}
        return await self._read("GET", url, headers={"authorization": f"Bearer {access_token.reveal()}"})

    async def _published(self, url: str) -> dict[str, Any]:
        """A public document of the issuer's; one reader at a time."""
        if self._unread is not None and self._age(self._unread[0]) < _RETRY_SECONDS:
            raise IssuerAway(self._unread[1], retry_after_seconds=_RETRY_SECONDS)
        try:
            return await self._read("GET", url)
        except IssuerAway as away:
            self._unread = (self._clock.monotonic(), away.message)
            raise

    def _proof(self, form: dict[str, str], *, takes_basic: bool) -> dict[str, str]:
        """How we prove who we are: Basic where the issuer takes it, else in the form (RFC 6749, 2.3.1)."""
        if self._secret is None or not takes_basic:
            form["client_id"] = self._who.client_id
            if self._secret is not None:
                form["client_secret"] = self._secret.reveal()
            return {}
        pair = f"{quote(self._who.client_id, safe='')}:{quote(self._secret.reveal(), safe='')}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def _read(
        self, method: str, url: str, *, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """One call's answer, a JSON object."""
        shown = {"accept": "application/json", **(headers or {})}
        try:
            async with (
                asyncio.timeout(_DEADLINE_SECONDS),
                self._client.stream(method, url, data=form, headers=shown) as response,
            ):
                status, body = response.status_code, await read_bounded(response, _MAX_BODY_BYTES)
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ForbiddenUrl, OSError) as error:
            raise _away(f"cannot be reached ({type(error).__name__})") from error
        content = _object(body)
        if form is not None and status in (400, 401, 403):
            why = (content or {}).get("error")
            log.warning("oidc_code_refused", status=status, error=why if why in _REFUSALS else None)
            raise CodeRefused("the identity provider did not take the login: begin again")
        if status != 200 or content is None:
            raise _away(f"answered HTTP {status}")
        return content

    def _age(self, since: float) -> float:
        return self._clock.monotonic() - since


def _away(what: str) -> IssuerAway:
    return IssuerAway(f"the identity provider {what}", retry_after_seconds=_RETRY_SECONDS)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _metadata_of(document: Mapping[str, Any], issuer: str) -> IssuerMetadata:
    """A discovery document, taken at its word only where it is this issuer's and does not lead from https to http."""
    if document.get("issuer") != issuer:
        raise _away("is another one than OIDC_ISSUER names")
    urls = {name: _url(document.get(name), issuer) for name in _ENDPOINTS}
    if missing := [name for name in _ENDPOINTS[:3] if urls[name] is None]:
        raise _away(f"names no usable {missing[0]}")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return IssuerMetadata(
        **urls,  # type: ignore[arg-type]  # the first three were just seen to be there
        takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint")


def _url(value: Any, issuer: str) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" == urlsplit(issuer).scheme)
    return value if is_safe and parts.netloc else None
