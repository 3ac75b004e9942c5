"""What is shown of a provider key, whosever it is: its end, its age, its last use, and what there is to say of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.contracts.changes import CredentialReminder
from pydantic import BaseModel

from keyvault.domain.credentials import Credential, masked
from keyvault.flows import Keyvault


class ShownSecret(BaseModel):
    """A provider key, as far as it is ever shown."""

    masked_key: str
    created_at: datetime
    secret_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    reminders: list[CredentialReminder]


def members_of(keyvault: Keyvault, credential: Credential) -> dict[str, Any]:
    """A credential's part of what is shown."""
    return {
        "masked_key": masked(credential.last4),
        "created_at": credential.created_at,
        "secret_at": credential.secret_at,
        "expires_at": credential.expires_at,
        "last_used_at": credential.last_used_at,
        "reminders": keyvault.reminders.of(credential),
    }
