"""What is told when a virtual key changes: its snapshot for those who decide, an event for those who count."""

from __future__ import annotations

from datetime import datetime

from common.contracts.changes import (
    KEY_CREATED,
    KEY_REMINDED,
    KEY_REVOKED,
    KEY_UPDATED,
    KeyChanged,
    KeyReminded,
    KeyReminder,
)
from common.contracts.topology import KEYS_BUCKET
from common.ids import uuid7
from common.postgres.outbox import Message, event, removal, snapshot

from keyvault.domain.virtual_keys import VirtualKey, snapshot_of

EVENT_SOURCE = "/keyvault"


def created(key: VirtualKey, now: datetime) -> list[Message]:
    """A key is there."""
    return [_state(key, now), _event("keys.created", KEY_CREATED, key, (), now)]


def updated(key: VirtualKey, changed: tuple[str, ...], now: datetime) -> list[Message]:
    """A key differs in the members that `changed` names."""
    return [_state(key, now), _event("keys.updated", KEY_UPDATED, key, changed, now)]


def revoked(key: VirtualKey, now: datetime) -> list[Message]:
    """A key is no more."""
    return [removal(KEYS_BUCKET.name, key.id), _event("keys.revoked", KEY_REVOKED, key, (), now)]


def reminded(key: VirtualKey, reason: KeyReminder, secret_ends_at: datetime, now: datetime) -> Message:
    """A key's secret is to be replaced; whoever tells people things tells its owner."""
    told = KeyReminded(
        api_key_id=key.id,
        name=key.terms.name,
        user_id=key.terms.user_id,
        reason=reason,
        secret_ends_at=secret_ends_at,
    )
    return event("keys.reminded", KEY_REMINDED, uuid7(), now, EVENT_SOURCE, told)


def _state(key: VirtualKey, now: datetime) -> Message:
    return snapshot(KEYS_BUCKET.name, key.id, snapshot_of(key, now))


def _event(subject: str, kind: str, key: VirtualKey, changed: tuple[str, ...], now: datetime) -> Message:
    told = KeyChanged(api_key_id=key.id, name=key.terms.name, user_id=key.terms.user_id, changed=changed)
    return event(subject, kind, uuid7(), now, EVENT_SOURCE, told)
