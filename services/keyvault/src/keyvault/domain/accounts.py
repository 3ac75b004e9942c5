"""Accounts: what a user is, and the rules of addresses and passwords."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.contracts.snapshots import AccountTier, Role, UserSnapshot
from common.errors import Conflict, Unprocessable

from keyvault.domain.limits import Limited, limits_of

MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 1024
MAX_EMAIL_CHARACTERS = 254


class InvalidEmail(Unprocessable):
    """Not an e-mail address."""


class LastAdmin(Conflict):
    """Somebody must be left who can administer."""


@dataclass(frozen=True, slots=True)
class User(Limited):
    """One account with what it may use in all; whoever ended its sessions did so at `sessions_not_before`."""

    id: str
    email: str
    name: str
    password_hash: str
    role: Role
    tier: AccountTier
    enabled: bool
    created_at: datetime
    updated_at: datetime
    sessions_not_before: datetime | None = None

    def __repr__(self) -> str:
        return f"User({self.id})"  # the password hash has no place in a log line


def clean_email(text: str) -> str:
    """The one spelling of an address that we keep (case does not matter); InvalidEmail for what is none."""
    email = unicodedata.normalize("NFKC", text).strip().lower()
    local, at, host = email.rpartition("@")
    if not (local and at and host) or "@" in local or len(email) > MAX_EMAIL_CHARACTERS:
        raise InvalidEmail("email: not an e-mail address")
    if any(character.isspace() or not character.isprintable() for character in email):
        raise InvalidEmail("email: not an e-mail address")
    return email


def snapshot_of(user: User) -> UserSnapshot:
    """What the gateway is told of a user who has limits."""
    return UserSnapshot(id=user.id, enabled=user.enabled, tier=user.tier, **limits_of(user))


def differing(user: User, change: dict[str, Any]) -> dict[str, Any]:
    """What of a change would really change the account."""
    return {name: value for name, value in change.items() if getattr(user, name) != value}


def refuse_losing_last_admin(user: User, changed: dict[str, Any], enabled_admin_ids: list[str]) -> None:
    """LastAdmin when a change would leave nobody who is an enabled admin."""
    stays = changed.get("role", user.role) == "admin" and changed.get("enabled", user.enabled)
    if not stays and enabled_admin_ids == [user.id]:
        raise LastAdmin("this is the last admin: name another one first")
