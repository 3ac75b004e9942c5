"""When somebody is reminded of a provider key that works: it is old, nobody uses it, or it is about to expire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.contracts.changes import CredentialReminder

from keyvault.domain.credentials import Credential


@dataclass(frozen=True, slots=True)
class ReminderRules:
    """Days: how old a secret may be, how long unused, and how long before its end people are told."""

    age_days: int = 90
    unused_days: int = 90
    expiry_days: int = 14


def reminders_of(credential: Credential, rules: ReminderRules, now: datetime) -> list[CredentialReminder]:
    """What there is to say of a credential; nothing of one that is not used, or is the simulator's."""
    if credential.status != "active" or not credential.enabled or credential.source == "simulator":
        return []
    return list(_reasons(credential, rules, now))


def _reasons(credential: Credential, rules: ReminderRules, now: datetime) -> Iterator[CredentialReminder]:
    if credential.secret_at <= now - timedelta(days=rules.age_days):
        yield "old"
    last_at = max(credential.last_used_at or credential.secret_at, credential.secret_at)
    if last_at <= now - timedelta(days=rules.unused_days):
        yield "unused"
    if credential.expires_at is None:
        return
    if credential.expires_at <= now:
        yield "expired"
    elif credential.expires_at <= now + timedelta(days=rules.expiry_days):
        yield "expires"
