"""Credentials: a secret with a provider, who owns it, where it may be sent, and what the gateway is told.

One row a credential, one version a secret: a replaced secret is the same credential in its next version. While the
simulator is on, a provider that nobody gave a key for has a stand-in of ours (`sim-ok-<provider>`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from common.contracts.snapshots import CredentialSnapshot
from common.errors import BadRequest, NotFound
from common.providers.registry import PROVIDERS, ProviderRow
from common.secret import Secret
from common.urls import ForbiddenUrl, UrlRules

from keyvault.domain.encryption import SYSTEM_TENANT, Binding

Source = Literal["environment", "api", "simulator", "secrets_manager"]
Status = Literal["active", "removed"]
VerdictWord = Literal["unvalidated", "valid", "invalid"]
"""What is known of whether the provider takes a user's credential."""

SIMULATOR_PREFIX = "sim-"
_SIMULATED_HOST = "simulator"


class UnsupportedProvider(BadRequest):
    """Not a provider that we know."""


class CredentialNotFound(NotFound):
    """There is no such credential, it was removed, or it is not for this caller."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential; a removed one has no ciphertext any more. `secret_at`: since when its secret is there; `expires_at`:
    when its provider stops taking that, as whoever gave it said."""

    id: str
    provider_type: str
    owner_user_id: str | None
    name: str
    ciphertext: str | None
    version: int
    last4: str
    base_url: str | None
    on_simulator: bool
    enabled: bool
    status: Status
    source: Source
    created_at: datetime
    updated_at: datetime
    secret_at: datetime
    expires_at: datetime | None = None
    last_tested_at: datetime | None = None
    last_test_ok: bool | None = None
    last_used_at: datetime | None = None
    is_default: bool = False
    fallback_to_system: bool = False
    verdict: VerdictWord = "unvalidated"
    last_validated_at: datetime | None = None

    @property
    def binding(self) -> Binding:
        """What its secret is bound to."""
        tenant = self.owner_user_id or SYSTEM_TENANT
        return Binding(tenant, self.id, self.provider_type, self.allowed_host)

    @property
    def allowed_host(self) -> str:
        """The one host (and port) its secret may be sent to; empty where the catalog's instance decides."""
        if self.on_simulator:
            return _SIMULATED_HOST
        return urlsplit(self.base_url or PROVIDERS[self.provider_type].base_url).netloc.lower()


def provider_row(provider_type: str) -> ProviderRow:
    """The provider's row; UnsupportedProvider when there is none."""
    row = PROVIDERS.get(provider_type)
    if row is None:
        raise UnsupportedProvider(f"unsupported provider: {provider_type[:64]}")
    return row


def is_simulators(secret: Secret) -> bool:
    """Whether a secret keeps its provider on the simulator."""
    return secret.reveal().startswith(SIMULATOR_PREFIX)


def stand_in_secret(provider_type: str) -> Secret:
    """The simulator's key for a provider that has none."""
    return Secret(f"{SIMULATOR_PREFIX}ok-{provider_type}")


def masked(last4: str) -> str:
    """All that is ever shown of a secret."""
    return f"...{last4}"


def call_url(credential: Credential, simulator_url: str | None) -> str:
    """The base URL that calls with this credential go to; empty when none is known."""
    row = PROVIDERS[credential.provider_type]
    return place_of(row, credential.base_url, simulator_url if credential.on_simulator else None)


def place_of(row: ProviderRow, base_url: str | None, simulator_url: str | None) -> str:
    """Where a provider is called, or the simulator in its place; empty when no place is known."""
    real = base_url or row.base_url
    if simulator_url is not None:
        return f"{simulator_url.rstrip('/')}/{row.type}{urlsplit(real).path.rstrip('/')}"
    return real.rstrip("/")


def check_base_url(text: str, rules: UrlRules) -> str:
    """A provider's base URL that a person gave, without a trailing slash; ForbiddenUrl when it must not be called."""
    try:
        return rules.check(text).url.rstrip("/")
    except ForbiddenUrl as error:
        raise ForbiddenUrl(f"base_url: {error.message}") from None


def snapshot_of(credential: Credential, simulator_url: str | None) -> CredentialSnapshot:
    """What the gateway is told: which version of which secret, never the secret."""
    return CredentialSnapshot(
        id=credential.id,
        provider_type=credential.provider_type,
        version=credential.version,
        owner_user_id=credential.owner_user_id,
        name=credential.name,
        base_url=credential.base_url,
        enabled=credential.enabled,
        is_default=credential.is_default,
        fallback_to_system=credential.fallback_to_system,
        on_simulator=credential.on_simulator and simulator_url is not None,
    )
