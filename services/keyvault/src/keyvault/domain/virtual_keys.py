"""Virtual keys: their terms, who may change which of them, and what the gateway is told.

A key of a user inherits the user's tier, and is let in only as long as its owner and its team are enabled; all are
looked up when the snapshot is made, so that they follow. Rotation leaves two secrets: the newest, and its predecessor until
an end that is set then, or was by a schedule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from common.contracts.snapshots import AccountTier, KeySecret, KeySnapshot
from common.errors import Conflict, Forbidden, NotFound
from common.money import Money

from keyvault.domain.key_rotations import DAY_SECONDS
from keyvault.domain.limits import LIMITS

ADMIN_ONLY = ("key", "tier", "user_id", "team_id")
"""What only an admin may give."""


class KeyNotFound(NotFound):
    """There is no such key, or it is somebody else's."""


class KeyTaken(Conflict):
    """The secret is, or was, some key's."""


class OnlyAdmins(Forbidden):
    """A member of the request is for admins."""


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What people set of a key. Limits: requests and tokens a minute, calls at once, US dollars a UTC month."""

    name: str
    enabled: bool = True
    rate_limit: int | None = None
    token_limit: int | None = None
    max_concurrency: int | None = None
    monthly_budget: Decimal | None = None
    allowed_models: tuple[str, ...] | None = None
    tier: AccountTier | None = None
    user_id: str | None = None
    team_id: str | None = None
    expires_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    log_content: bool = False
    cache_ttl_s: int | None = None


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """One secret of a key, by its hash; the newest has no end."""

    sha256: str
    last4: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VirtualKey:
    """One key with what is known of its owner and team. `secrets` still count, the newest last; `disabled_by` says who
    switched it off."""

    id: str
    terms: KeyTerms
    created_at: datetime
    updated_at: datetime
    secrets: tuple[LiveSecret, ...] = ()
    disabled_by: str | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    refusal_pending: bool = False
    owner_tier: AccountTier | None = None
    owner_enabled: bool = True
    team_enabled: bool = True

    @property
    def tier(self) -> AccountTier | None:
        """Its own, else its owner's."""
        return self.terms.tier or self.owner_tier

    @property
    def is_enabled(self) -> bool:
        """Neither it nor its owner nor its team is switched off."""
        return self.terms.enabled and self.owner_enabled and self.team_enabled

    @property
    def is_refused(self) -> bool:
        """Must be turned away by every gateway."""
        return self.revoked_at is not None or not self.is_enabled

    @property
    def last4(self) -> str:
        """The end of its newest secret."""
        return self.secrets[-1].last4 if self.secrets else ""


def refuse_admin_members(given: Collection[str]) -> None:
    """OnlyAdmins, naming the first member that a user may not give."""
    for name in ADMIN_ONLY:
        if name in given:
            raise OnlyAdmins(f"{name}: only an admin may set this")


def refuse_raises(old: KeyTerms, changed: KeyTerms) -> None:
    """OnlyAdmins, naming the first limit that would be looser than before."""
    for name in LIMITS:
        before, after = getattr(old, name), getattr(changed, name)
        if before is not None and (after is None or after > before):
            raise OnlyAdmins(f"{name}: only an admin may raise this")
    if _allows_more(old.allowed_models, changed.allowed_models):
        raise OnlyAdmins("allowed_models: only an admin may allow more")
    if old.expires_at is not None and (changed.expires_at is None or changed.expires_at > old.expires_at):
        raise OnlyAdmins("expires_at: only an admin may put this off")


def _allows_more(old: tuple[str, ...] | None, changed: tuple[str, ...] | None) -> bool:
    return old is not None and (changed is None or not set(changed) <= set(old))


def refuse_switching_on(key: VirtualKey, changed: KeyTerms, actor_id: str) -> None:
    """OnlyAdmins when a user would switch on what somebody else has switched off."""
    if changed.enabled and not key.terms.enabled and key.disabled_by != actor_id:
        raise OnlyAdmins("enabled: only an admin may switch this key on again")


def with_changes(terms: KeyTerms, change: Mapping[str, Any]) -> tuple[KeyTerms, tuple[str, ...]]:
    """Terms after a change, and the names of what really differs."""
    changed = replace(terms, **change)
    names = [entry.name for entry in fields(KeyTerms)]
    return changed, tuple(name for name in names if getattr(changed, name) != getattr(terms, name))


def end_at_rotation(secret: LiveSecret, newest: LiveSecret, now: datetime, grace_seconds: int | None) -> datetime:
    """When a secret ends at a rotation: the newest after the grace period (a day, unless it is given), or when a schedule
    has said, if that is sooner; its predecessor now."""
    if secret is not newest:
        return now
    if secret.expires_at is not None and grace_seconds is None:
        return secret.expires_at
    end = now + timedelta(seconds=DAY_SECONDS if grace_seconds is None else grace_seconds)
    return end if secret.expires_at is None else min(end, secret.expires_at)


def snapshot_of(key: VirtualKey, now: datetime) -> KeySnapshot:
    """What the gateway is told of a key that is not revoked."""
    terms = key.terms
    live = [secret for secret in key.secrets if secret.expires_at is None or secret.expires_at > now]
    return KeySnapshot(
        id=key.id,
        name=terms.name,
        secrets=tuple(KeySecret(sha256=secret.sha256, expires_at=secret.expires_at) for secret in live),
        enabled=key.is_enabled,
        user_id=terms.user_id,
        team_id=terms.team_id,
        tier=key.tier,
        rate_limit=terms.rate_limit,
        token_limit=terms.token_limit,
        max_concurrency=terms.max_concurrency,
        monthly_budget=None if terms.monthly_budget is None else Money(terms.monthly_budget),
        allowed_models=terms.allowed_models,
        expires_at=terms.expires_at,
        log_content=terms.log_content,
        cache_ttl_s=terms.cache_ttl_s,
    )
