"""The rules of users' own credentials: one active a provider, one default a user, and what is known of each.

The default decides between providers that are otherwise equal. The first that a user makes is it; when it goes, the
oldest active one inherits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.errors import Conflict
from common.secret import Secret

from keyvault.domain.credentials import Credential

MAX_CREDENTIALS = 100
"""As many may a user keep, inactive ones included."""


class SecondActive(Conflict):
    """The user already has an active credential with this provider."""


class InactiveDefault(Conflict):
    """What is not active cannot be the default."""


class TooManyCredentials(Conflict):
    """The user keeps as many as may be kept."""


@dataclass(frozen=True, slots=True)
class OwnGiven:
    """A credential that a user gives."""

    provider: str
    secret: Secret
    name: str = ""
    base_url: str | None = None
    is_default: bool | None = None
    fallback_to_system: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a call, or a validation, told of a credential."""

    at: datetime
    is_good: bool


def refuse_second_active(kept: Sequence[Credential], provider_type: str, except_id: str = "") -> None:
    """SecondActive when another of the credentials is active with the same provider."""
    if any(one.enabled and one.provider_type == provider_type and one.id != except_id for one in kept):
        raise SecondActive(f"there already is an active credential for {provider_type}")


def refuse_too_many(kept: Sequence[Credential]) -> None:
    """TooManyCredentials when there is no room for another."""
    if len(kept) >= MAX_CREDENTIALS:
        raise TooManyCredentials(f"at most {MAX_CREDENTIALS} credentials can be kept: delete one first")


def is_first_default(kept: Sequence[Credential], asked_for: bool | None) -> bool:
    """Whether a credential that is being made is the default: as asked, else when there is none yet."""
    return not any(one.is_default for one in kept) if asked_for is None else asked_for


def with_change(credential: Credential, change: dict[str, Any]) -> Credential:
    """A credential with some of name, is_active, is_default, fallback_to_system, expires_at set. Raises InactiveDefault."""
    members = dict(change)
    if "is_active" in members:
        members["enabled"] = members.pop("is_active")
    if members.get("enabled") is False:
        members.setdefault("is_default", False)
    changed = replace(credential, **members)
    if changed.is_default and not changed.enabled:
        raise InactiveDefault("is_default: an inactive credential cannot be the default")
    return changed


def heir_of(kept: Sequence[Credential], gone: Credential) -> Credential | None:
    """Who becomes the default when `gone`, which was it, goes: the oldest active one."""
    heirs = [one for one in kept if one.enabled and one.id != gone.id]
    return min(heirs, key=lambda one: (one.created_at, one.id), default=None) if gone.is_default else None
