"""Events about things that people change: keys, credentials, the catalog, and the audit trail. Never a secret."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from common.contracts.envelope import Contract, type_of

KEY_CREATED = type_of("keys.created")
KEY_UPDATED = type_of("keys.updated")
KEY_REVOKED = type_of("keys.revoked")
CREDENTIAL_CHANGED = type_of("credentials.changed")
CATALOG_SYNCED = type_of("catalog.synced")
AUDIT_RECORDED = type_of("audit.recorded")


class KeyChanged(Contract):
    """A virtual key was created, updated or revoked; `changed` names the members that differ."""

    api_key_id: str
    name: str
    user_id: str | None
    changed: tuple[str, ...] = ()


class CredentialChanged(Contract):
    """A credential has a newer version, or none any more."""

    credential_id: str
    provider_type: str
    version: int
    enabled: bool
    owner_user_id: str | None


class CatalogSynced(Contract):
    """A source was read and the catalog made equal to what was accepted of it."""

    source: str
    models_added: int
    models_changed: int
    models_gone: int
    prices_added: int


class AuditRecorded(Contract):
    """Who did what to which thing, when, and from where."""

    actor: str
    action: str
    subject: str
    at: datetime
    origin: str | None = None
    detail: dict[str, str] = Field(default_factory=dict)
