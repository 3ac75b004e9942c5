"""What is told when a credential changes: its snapshot names the present version, an event says that there is one."""

from __future__ import annotations

from datetime import datetime

from common.contracts.changes import (
    CREDENTIAL_CHANGED,
    CREDENTIAL_INVALID,
    CREDENTIAL_REMINDED,
    CredentialChanged,
    CredentialInvalid,
    CredentialReminded,
    CredentialReminder,
)
from common.contracts.topology import CREDENTIALS_BUCKET
from common.ids import uuid7
from common.postgres.outbox import Message, event, removal, snapshot

from keyvault.domain.credentials import Credential, snapshot_of
from keyvault.flows.key_messages import EVENT_SOURCE


def changed(credential: Credential, simulator_url: str | None, now: datetime) -> list[Message]:
    """A credential is there, or has a next version."""
    return [state(credential, simulator_url), _event(credential, credential.enabled, now)]


def state(credential: Credential, simulator_url: str | None) -> Message:
    """What a credential now is, for those who decide."""
    return snapshot(CREDENTIALS_BUCKET.name, credential.id, snapshot_of(credential, simulator_url))


def invalid(credential: Credential, refused_at: datetime, now: datetime) -> Message:
    """Its provider has refused a user's credential; whoever tells people things tells its owner."""
    told = CredentialInvalid(
        credential_id=credential.id,
        provider_type=credential.provider_type,
        version=credential.version,
        name=credential.name,
        owner_user_id=credential.owner_user_id or "",
        refused_at=refused_at,
    )
    return event("credentials.invalid", CREDENTIAL_INVALID, uuid7(), now, EVENT_SOURCE, told)


def reminded(credential: Credential, reason: CredentialReminder, now: datetime) -> Message:
    """A credential is old, unused or about to expire; whoever tells people things tells its owner, or the admins."""
    told = CredentialReminded(
        credential_id=credential.id,
        provider_type=credential.provider_type,
        version=credential.version,
        name=credential.name,
        owner_user_id=credential.owner_user_id,
        reason=reason,
        secret_at=credential.secret_at,
        expires_at=credential.expires_at,
        last_used_at=credential.last_used_at,
    )
    return event("credentials.reminded", CREDENTIAL_REMINDED, uuid7(), now, EVENT_SOURCE, told)


def removed(credential: Credential, now: datetime) -> list[Message]:
    """A credential is no more."""
    return [removal(CREDENTIALS_BUCKET.name, credential.id), _event(credential, False, now)]


def _event(credential: Credential, is_enabled: bool, now: datetime) -> Message:
    told = CredentialChanged(
        credential_id=credential.id,
        provider_type=credential.provider_type,
        version=credential.version,
        enabled=is_enabled,
        owner_user_id=credential.owner_user_id,
    )
    return event("credentials.changed", CREDENTIAL_CHANGED, uuid7(), now, EVENT_SOURCE, told)
