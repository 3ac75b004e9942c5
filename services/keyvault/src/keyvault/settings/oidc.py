"""Settings of single sign-on: one OpenID Connect issuer, and what of its claims counts here.

Without `OIDC_ISSUER` there is none. The issuer's own host is the operator's word and may be private; what its discovery
document names elsewhere must be public, or be listed in `OIDC_ALLOWED_HOSTS`.
"""

from __future__ import annotations

from typing import Literal, get_args
from urllib.parse import urlsplit

from common.contracts.snapshots import AccountTier
from common.settings import DatabaseServiceSettings, HttpUrl
from common.urls import LOCAL_HOSTS, AllowedHosts, ForbiddenUrl, UrlRules, rules_of
from pydantic import Field, ValidationInfo, field_validator

from keyvault.domain.oidc import ClaimRules, OidcClient
from keyvault.settings.kinds import SecretText

_TIERS: tuple[AccountTier, ...] = get_args(AccountTier)


class OidcSettings(DatabaseServiceSettings):
    """What keyvault is told of the issuer that people may sign in with."""

    oidc_allowed_hosts: AllowedHosts = Field(
        default="",
        validation_alias="OIDC_ALLOWED_HOSTS",
        description="hosts (host or host:port, separated by commas) of single sign-on that may be private and plain http",
    )
    oidc_client_id: str = Field(
        default="",
        max_length=255,
        validation_alias="OIDC_CLIENT_ID",
        description="our name at the OpenID Connect issuer",
    )
    oidc_client_secret: SecretText | None = Field(
        default=None, validation_alias="OIDC_CLIENT_SECRET", description="our secret there; none for a public client"
    )
    oidc_redirect_url: HttpUrl | None = Field(
        default=None,
        validation_alias="OIDC_REDIRECT_URL",
        description="where the issuer sends people back to: https://<gateway>/api/auth/oidc/callback",
    )
    oidc_issuer: HttpUrl | None = Field(
        default=None,
        validation_alias="OIDC_ISSUER",
        description="OpenID Connect issuer that people may sign in with, exactly as it names itself",
    )
    oidc_scopes: str = Field(
        default="openid email profile",
        pattern=r"^openid( [!#-\[\]-~]+)*$",
        validation_alias="OIDC_SCOPES",
        description="scopes that are asked for, separated by spaces, openid first",
    )
    oidc_signup: Literal["open", "closed"] = Field(
        default="open",
        validation_alias="OIDC_SIGNUP",
        description="whether somebody whom the issuer knows and we do not gets an account",
    )
    oidc_assume_email_verified: bool = Field(
        default=False,
        validation_alias="OIDC_ASSUME_EMAIL_VERIFIED",
        description="whether an address without the claim email_verified counts as verified (never one that says false)",
    )
    oidc_role_claim: str = Field(
        default="",
        validation_alias="OIDC_ROLE_CLAIM",
        description="claim that makes admins, dots lead inside (realm_access.roles); none: they are made here",
    )
    oidc_admin_values: str = Field(
        default="tollgate-admin",
        validation_alias="OIDC_ADMIN_VALUES",
        description="values of that claim, separated by commas, that make an admin",
    )
    oidc_tier_claim: str = Field(
        default="", validation_alias="OIDC_TIER_CLAIM", description="claim that says the tier; none: tiers are set here"
    )
    oidc_tier_values: str = Field(
        default=",".join(f"{tier}={tier}" for tier in _TIERS),
        validation_alias="OIDC_TIER_VALUES",
        description="which value of that claim is which tier: value=tier, separated by commas; the highest counts",
    )

    @field_validator("oidc_tier_values")
    @classmethod
    def _names_tiers(cls, value: str) -> str:
        _tier_values(value)
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_whole(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is None:
            return value
        if not others.data.get("oidc_client_id") or others.data.get("oidc_redirect_url") is None:
            raise ValueError("OIDC_CLIENT_ID and OIDC_REDIRECT_URL are needed with it")
        try:
            rules_of(others.data.get("oidc_allowed_hosts", ""), LOCAL_HOSTS, f"{_https_host(value)}").check(value)
        except ForbiddenUrl as error:
            raise ValueError(f"{error.message}, or its host be listed in OIDC_ALLOWED_HOSTS") from None
        return value

    @property
    def oidc_client(self) -> OidcClient | None:
        """Who we are at the issuer; None without single sign-on."""
        if self.oidc_issuer is None or self.oidc_redirect_url is None:
            return None
        return OidcClient(
            self.oidc_issuer,
            self.oidc_client_id,
            self.oidc_redirect_url,
            self.oidc_scopes,
            has_secret=self.oidc_client_secret is not None,
        )

    @property
    def oidc_claims(self) -> ClaimRules:
        """What of an identity's claims counts."""
        return ClaimRules(
            role_claim=self.oidc_role_claim,
            admin_values=frozenset(_listed(self.oidc_admin_values)),
            tier_claim=self.oidc_tier_claim,
            tier_values=_tier_values(self.oidc_tier_values),
            is_email_assumed=self.oidc_assume_email_verified,
        )

    @property
    def oidc_rules(self) -> UrlRules:
        """Which URLs single sign-on may call."""
        return rules_of(self.oidc_allowed_hosts, urlsplit(self.oidc_issuer or "").netloc)


def _https_host(issuer: str) -> str:
    """The issuer's host, which may be private when it is called by https."""
    parts = urlsplit(issuer)
    return parts.netloc if parts.scheme == "https" else ""


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _tier_values(text: str) -> dict[str, AccountTier]:
    pairs = [part.rpartition("=") for part in _listed(text)]
    known: dict[str, AccountTier] = {name: name for name in _TIERS}
    if any(not value or tier not in known for value, _, tier in pairs):
        raise ValueError(f"should be value=tier, with a tier of {', '.join(_TIERS)}")
    return {value.strip(): known[tier] for value, _, tier in pairs}
