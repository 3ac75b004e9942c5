"""Single sign-on by OpenID Connect, as far as it is thinking: where people are sent, which tokens count, whom they name.

Signatures, issuer, audience and times are checked by PyJWT; which algorithms it may use is pinned here by the kind of the
key (asymmetric ones only), so that neither `none` nor a public key taken for an HMAC secret ever counts. An identity is
the issuer's name for somebody and nothing else: an address, verified or not, opens no account that exists.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit

import jwt
from common.contracts.snapshots import AccountTier, Role
from common.errors import Forbidden, Unauthorized
from common.secret import Secret

from keyvault.domain.accounts import InvalidEmail, clean_email

LEEWAY = timedelta(seconds=60)
"""By how much clocks may differ."""
MAX_TOKEN_CHARACTERS = 16_384
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_MAX_SUBJECT_CHARACTERS = 255
_MAX_NAME_CHARACTERS = 200
_TIERS: tuple[AccountTier, ...] = get_args(AccountTier)

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"RSA": _RSA, "EC": ("ES256", "ES384", "ES512"), "OKP": ("EdDSA",)}
)
"""Which algorithms a key may verify, by its `kty`."""

_HASHES = MappingProxyType({"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512})
"""What `at_hash` is made with, by the end of the algorithm's name (OpenID Connect Core, 3.1.3.6); EdDSA names none."""


class InvalidIdToken(Unauthorized):
    """The issuer's token does not count; which check it failed stands in the message, nothing of the token."""

    code = "invalid_id_token"


class UnknownSigningKey(InvalidIdToken):
    """No key of the issuer's that we know could have signed it: it may have another one by now."""


class IdentityRefused(Forbidden):
    """Who they are is clear, and that they get no account of it."""

    code = "identity_refused"


@dataclass(frozen=True, slots=True)
class OidcClient:
    """Who we are at the issuer, and what we ask it for."""

    issuer: str
    client_id: str
    redirect_url: str
    scopes: str
    has_secret: bool

    def login_url(self, endpoint: str, *, state: str, nonce: str, challenge: str) -> str:
        """Where a browser is sent to sign in; `challenge` is the S256 of the verifier (RFC 7636)."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_url,
            "scope": self.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return with_query(endpoint, asked)


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What of somebody's claims counts here. A claim that is not named (empty) decides nothing."""

    role_claim: str
    admin_values: frozenset[str]
    tier_claim: str
    tier_values: Mapping[str, AccountTier]
    is_email_assumed: bool

    @property
    def wanted(self) -> tuple[str, ...]:
        """The claims without which the issuer is asked once more."""
        return tuple(filter(None, ("email", self.role_claim, self.tier_claim)))


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody as the issuer knows them. `role` and `tier` are None where its claims decide nothing."""

    issuer: str
    subject: str
    name: str
    role: Role | None
    tier: AccountTier | None
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return "Identity(***)"

    def email(self, rules: ClaimRules) -> str:
        """The verified address, for an account that is to be made. Raises IdentityRefused."""
        is_verified = self.claims.get("email_verified", rules.is_email_assumed)
        if is_verified not in (True, "true"):  # some issuers write booleans as text
            raise IdentityRefused("the identity provider has not verified your e-mail address")
        try:
            return clean_email(str(self.claims.get("email") or ""))
        except InvalidEmail:
            raise IdentityRefused("the identity provider gives no usable e-mail address") from None


def with_query(url: str, more: Mapping[str, str]) -> str:
    """A URL with parameters after those that it has."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(more))))
    return parts._replace(query=query, fragment="").geturl()


def verified_id_token(
    token: str, keys: Sequence[Mapping[str, Any]], client: OidcClient, nonce: str, access_token: Secret | None
) -> dict[str, Any]:
    """The claims of an ID token that is for us and this very login, and, where it says so, came with this access token.
    Raises InvalidIdToken, UnknownSigningKey."""
    claims = _verified(token, keys, client, required=("exp", "iat", "sub"))
    if not _is_same(claims.get("nonce"), nonce):
        raise InvalidIdToken("the identity provider answered another login: its nonce differs")
    hashed = _HASHES.get(str(jwt.get_unverified_header(token)["alg"])[-3:])
    if access_token is not None and "at_hash" in claims and hashed is not None:
        digest = hashed(access_token.reveal().encode()).digest()
        half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")
        if not _is_same(claims["at_hash"], half):
            raise InvalidIdToken("the identity provider's token came with another access token")
    return claims


def verified_logout_token(token: str, keys: Sequence[Mapping[str, Any]], client: OidcClient) -> str:
    """Whose sessions an issuer's logout token ends: the subject. Raises InvalidIdToken, UnknownSigningKey."""
    claims = _verified(token, keys, client, required=("exp", "iat", "sub", "jti"))
    events = claims.get("events")
    if "nonce" in claims or not isinstance(events, dict) or LOGOUT_EVENT not in events:
        raise InvalidIdToken("not a logout token")
    return str(claims["sub"])


def identity_of(claims: Mapping[str, Any], rules: ClaimRules) -> Identity:
    """Whom verified claims name."""
    name = claims.get("name") or claims.get("preferred_username") or ""
    role: Role | None = None
    if rules.role_claim:
        role = "admin" if rules.admin_values & set(values_at(claims, rules.role_claim)) else "user"
    return Identity(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        name="".join(filter(str.isprintable, str(name)))[:_MAX_NAME_CHARACTERS],
        role=role,
        tier=_tier(values_at(claims, rules.tier_claim), rules) if rules.tier_claim else None,
        claims=claims,
    )


def values_at(claims: Mapping[str, Any], name: str) -> list[str]:
    """What a claim holds, as a list. A name with dots leads inside, unless a claim has that whole name (a URL)."""
    found: Any = claims
    for part in (name,) if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return [value for value in (found if isinstance(found, list) else [found]) if isinstance(value, str)]


def _tier(values: Iterable[str], rules: ClaimRules) -> AccountTier:
    named = [rules.tier_values[value] for value in values if value in rules.tier_values]
    return max(named, key=_TIERS.index, default="trial")


def _verified(
    token: str, keys: Sequence[Mapping[str, Any]], client: OidcClient, *, required: tuple[str, ...]
) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidIdToken("the identity provider's token is too long")
    try:
        key = _key_for(jwt.get_unverified_header(token), keys)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=client.client_id,
            issuer=client.issuer,
            leeway=LEEWAY,
            options={"require": ["iss", "aud", *required], "enforce_minimum_key_length": True},
        )
    except jwt.PyJWTError as error:
        raise InvalidIdToken(f"the identity provider's token does not count ({type(error).__name__})") from None
    _check_party(claims, client)
    subject = str(claims["sub"])
    if not 0 < len(subject) <= _MAX_SUBJECT_CHARACTERS or not subject.isprintable():
        raise InvalidIdToken("the identity provider's token names nobody")
    return claims


def _is_same(claim: Any, expected: str) -> bool:
    return isinstance(claim, str) and hmac.compare_digest(claim.encode(errors="replace"), expected.encode())


def _check_party(claims: Mapping[str, Any], client: OidcClient) -> None:
    """Of several audiences we must be the one that the token was made for."""
    party, audience = claims.get("azp"), claims["aud"]
    is_shared = isinstance(audience, list) and len(audience) > 1
    if party != client.client_id and (party is not None or is_shared):
        raise InvalidIdToken("the identity provider's token was made for another application")


def _key_for(header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> jwt.PyJWK:
    """The one key that a token's header points to, bound to the algorithm that the header names."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not any(algorithm in allowed for allowed in ALGORITHMS.values()):
        raise InvalidIdToken("the identity provider's token is signed in a way that does not count")
    fitting = [key for key in keys if _fits(key, str(algorithm)) and (kid is None or key.get("kid") == kid)]
    if len(fitting) != 1:
        raise UnknownSigningKey("the identity provider's token is signed with a key that it does not publish")
    return jwt.PyJWK(dict(fitting[0]), algorithm=str(algorithm))


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    is_for_this = key.get("alg") in (None, algorithm) and key.get("use") in (None, "sig")
    return is_for_this and algorithm in ALGORITHMS.get(str(key.get("kty")), ())
