"""The snapshots: the present state of one thing, kept in a key-value bucket, replaced by its next revision.

Events are for those who count, snapshots for those who decide. A reader ignores members it does not know, so that a
writer may add some first; it never gets a secret, only the name of the current version of one.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.budgets import Budget, nano_floor
from common.money import Money
from common.periods import PeriodKind
from common.pricing import Price, Tier

Role = Literal["user", "admin"]
AccountTier = Literal["trial", "starter", "professional", "enterprise"]


class Snapshot(BaseModel):
    """A frozen, open shape."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class KeySecret(Snapshot):
    """The SHA-256 (hex) of one secret by which a virtual key is known, and until when it holds (rotation)."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires_at: datetime | None = None


class KeySnapshot(Snapshot):
    """bucket `keys`, key `<api_key_id>`: one virtual key. A deleted or revoked one is removed from the bucket."""

    id: str
    name: str
    secrets: tuple[KeySecret, ...]
    enabled: bool = True
    user_id: str | None = None
    team_id: str | None = None
    tier: AccountTier | None = None
    rate_limit: int | None = Field(default=None, ge=1, description="requests a minute; None = unlimited")
    token_limit: int | None = Field(default=None, ge=1, description="tokens a minute; None = unlimited")
    max_concurrency: int | None = Field(default=None, ge=1)
    monthly_budget: Money | None = None
    allowed_models: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    log_content: bool = False
    cache_ttl_s: int | None = None


class Limits(Snapshot):
    """What a user or a team may use in all, over all its keys; None: no limit."""

    rate_limit: int | None = Field(default=None, ge=1, description="requests a minute")
    token_limit: int | None = Field(default=None, ge=1, description="tokens a minute")
    max_concurrency: int | None = Field(default=None, ge=1)
    monthly_budget: Money | None = None


class UserSnapshot(Limits):
    """bucket `keys`, key `user.<id>`: a user as admission needs it. One without limits may be absent."""

    id: str
    enabled: bool = True
    tier: AccountTier | None = None


class TeamSnapshot(Limits):
    """bucket `keys`, key `team.<id>`: a team as admission needs it."""

    id: str
    name: str
    enabled: bool = True


class BudgetSnapshot(Snapshot):
    """bucket `budgets`, key `<budget_id>`: one budget beyond the monthly ones of keys, users and teams.

    `scope` says whose calls count, and names the counter: `key:<id>`, `user:<id>`, `team:<id>`, `provider:<type>`,
    `model:<provider type>/<name>`, `global`; a user's own budget for a provider or model counts that user's calls only:
    `user:<id>/provider:<type>`, `user:<id>/model:<provider type>/<name>`.
    """

    id: str
    scope: str
    period: PeriodKind
    zone: str = "UTC"
    mode: Literal["hard", "soft"] = "hard"
    limit: Money
    owner_user_id: str | None = Field(default=None, description="None: an admin's, for everybody")

    def to_budget(self) -> Budget:
        """The same as the rule that admission takes."""
        return Budget(self.id, self.scope, self.period, self.zone, self.mode, nano_floor(self.limit))


class SigningKeySnapshot(Snapshot):
    """bucket `sessions`, key `key.<kid>`: a public key that session tokens are verified with."""

    kid: str
    public_key: str = Field(description="raw Ed25519 public key, base64url without padding")


class TokenRevocation(Snapshot):
    """bucket `sessions`, key `revoked.<jti>`: one token that no longer counts, until it would have expired anyway."""

    expires_at: datetime


class UserSessions(Snapshot):
    """bucket `sessions`, key `user.<user_id>`: tokens of this user issued before `not_before` no longer count."""

    not_before: datetime


class CredentialSnapshot(Snapshot):
    """bucket `credentials`, key `<credential_id>`: which version of which secret a provider is called with."""

    id: str
    provider_type: str
    version: int = Field(ge=1)
    owner_user_id: str | None = Field(default=None, description="None: a system credential")
    name: str = ""
    base_url: str | None = None
    enabled: bool = True
    is_default: bool = False
    fallback_to_system: bool = False
    on_simulator: bool = False


class ProviderSnapshot(Snapshot):
    """bucket `catalog`, key `provider.<id>`: one instance of a provider type."""

    id: str
    name: str
    provider_type: str
    display_name: str
    base_url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    enabled: bool = True
    priority: int = 0


class TierSnapshot(Snapshot):
    """Rates once the input passes a number of tokens, and those of service tiers then."""

    above_input_tokens: int
    rates: dict[str, Decimal]
    variants: dict[str, dict[str, Decimal]] = Field(default_factory=dict)


class PriceSnapshot(Snapshot):
    """One dated price row; US dollars per million tokens of a bucket, or per one of a unit."""

    version: str
    starts_at: datetime
    rates: dict[str, Decimal]
    tiers: tuple[TierSnapshot, ...] = ()
    variants: dict[str, dict[str, Decimal]] = Field(default_factory=dict)

    def to_price(self) -> Price:
        """The same as the row that pricing takes."""
        return Price(
            version=self.version,
            rates=self.rates,
            tiers=tuple(Tier(tier.above_input_tokens, tier.rates, tier.variants) for tier in self.tiers),
            variants=self.variants,
            starts_at=self.starts_at,
        )


class ModelSnapshot(Snapshot):
    """bucket `catalog`, key `model.<id>`: one model of one provider type, with the prices that may still be asked for.

    `names` are other spellings by which the provider takes the same model (dated versions, `-latest`).
    """

    id: str
    provider_type: str
    name: str
    display_name: str = ""
    names: tuple[str, ...] = ()
    enabled: bool = True
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ("chat",)
    prices: tuple[PriceSnapshot, ...] = ()
    created_at: datetime | None = None


class DeploymentSnapshot(Snapshot):
    """One place that an alias leads to: a provider (type or instance name) and a model there."""

    provider: str
    model: str
    weight: int = Field(default=1, ge=0)
    priority: int = 0


class TimeoutsSnapshot(Snapshot):
    """How long calls of an alias wait, in seconds; None: as long as any call."""

    connect_s: float | None = Field(default=None, gt=0)
    first_byte_s: float | None = Field(default=None, gt=0)
    between_chunks_s: float | None = Field(default=None, gt=0)
    total_s: float | None = Field(default=None, gt=0)


class AliasSnapshot(Snapshot):
    """bucket `catalog`, key `alias.<id>`: a name of ours for one or more deployments."""

    id: str
    alias: str
    deployments: tuple[DeploymentSnapshot, ...]
    strategy: str = "priority"
    enabled: bool = True
    timeouts: TimeoutsSnapshot = TimeoutsSnapshot()


class AccountTierSnapshot(Snapshot):
    """bucket `catalog`, key `tier.<name>`: which models the keys of an account tier may call, as patterns
    `<provider type>/<name>` where `*` stands for anything. A tier without a snapshot is not restricted."""

    tier: AccountTier
    allowed: tuple[str, ...]
