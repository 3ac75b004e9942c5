"""What is told when a credential changes: its snapshot names the present version, an event says that there is one."""

from __future__ import annotations

from datetime import datetime

from common.contracts.changes import CREDENTIAL_CHANGED, CredentialChanged
from common.contracts.topology import CREDENTIALS_BUCKET
from common.ids import uuid7
from common.postgres.outbox import Message, event, removal, snapshot

from keyvault.domain.credentials import Credential, snapshot_of
from keyvault.flows.key_messages import EVENT_SOURCE


def changed(credential: Credential, simulator_url: str | None, now: datetime) -> list[Message]:
    """A credential is there, or has a next version."""
    state = snapshot(CREDENTIALS_BUCKET.name, credential.id, snapshot_of(credential, simulator_url))
    return [state, _event(credential, credential.enabled, now)]


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
