"""Events about things that people change: keys, credentials, the catalog, and the audit trail. Never a secret."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from common.contracts.envelope import Contract, type_of

KEY_CREATED = type_of("keys.created")
KEY_UPDATED = type_of("keys.updated")
KEY_REVOKED = type_of("keys.revoked")
KEY_REMINDED = type_of("keys.reminded")
CREDENTIAL_CHANGED = type_of("credentials.changed")
CREDENTIAL_INVALID = type_of("credentials.invalid")
CREDENTIAL_REMINDED = type_of("credentials.reminded")
CATALOG_SYNCED = type_of("catalog.synced")
CATALOG_MODEL_UPSERTED = type_of("catalog.model.upserted")
CATALOG_MODEL_REMOVED = type_of("catalog.model.removed")
CATALOG_PRICE_CHANGED = type_of("catalog.price.changed")
AUDIT_RECORDED = type_of("audit.recorded")


class KeyChanged(Contract):
    """A virtual key was created, updated or revoked; `changed` names the members that differ."""

    api_key_id: str
    """The virtual key; never its secret."""
    name: str
    """What its owner calls it."""
    user_id: str | None
    """Whose it is; null: nobody's in particular."""
    changed: tuple[str, ...] = ()
    """The members that differ, for an update."""


class CredentialChanged(Contract):
    """A credential has a newer version, or none any more."""

    credential_id: str
    """The credential; never its secret."""
    provider_type: str
    """The provider that it is for."""
    version: int
    """Its newest version."""
    enabled: bool
    """Whether it may be used."""
    owner_user_id: str | None
    """Whose it is; null: the system's."""


class CredentialInvalid(Contract):
    """A provider has refused a user's credential that was not known to be invalid: its owner is to be told."""

    credential_id: str
    """The credential; never its secret."""
    provider_type: str
    """The provider that refused it."""
    version: int
    """Its newest version."""
    name: str
    """What its owner calls it."""
    owner_user_id: str
    """Whose it is."""
    refused_at: datetime
    """When the call came in that was refused."""


KeyReminder = Literal["rotation_due", "secret_ends"]
"""Why the owner of a virtual key is told: its schedule asks for a next secret, or the present one soon ends without."""

CredentialReminder = Literal["old", "unused", "expires", "expired"]
"""Why somebody is told of a credential that works."""


class KeyReminded(Contract):
    """A virtual key's secret is to be replaced: its owner gets the next one by `POST /api/v1/keys/{id}/rotate`, once."""

    api_key_id: str
    """The virtual key; never its secret."""
    name: str
    """What its owner calls it."""
    user_id: str | None
    """Whose it is; null: nobody's in particular."""
    reason: KeyReminder
    """Why it is told."""
    secret_ends_at: datetime
    """When the present secret stops counting."""


class CredentialReminded(Contract):
    """A provider key is old, unused, or about to expire; told once a reason and version."""

    credential_id: str
    """The credential; never its secret."""
    provider_type: str
    """The provider that it is for."""
    version: int
    """Its newest version."""
    name: str
    """What its owner calls it."""
    owner_user_id: str | None
    """Whose it is; null: the system's."""
    reason: CredentialReminder
    """Why it is told."""
    secret_at: datetime
    """Since when this secret is there."""
    expires_at: datetime | None
    """When its provider stops taking it, as whoever gave it said; null: nobody said."""
    last_used_at: datetime | None
    """When a call last used it; null: none did."""


class CatalogSynced(Contract):
    """A source was read and the catalog made equal to what was accepted of it."""

    source: str
    """Where the models and prices were read."""
    models_added: int
    """Models that were not there before."""
    models_changed: int
    """Models that differ now."""
    models_gone: int
    """Models that the source no longer has."""
    prices_added: int
    """Dated prices that were added; none is ever changed."""


class CatalogModelChanged(Contract):
    """A model is there for the first time or differs, or its source lists it no more. What changes many models at once
    is told as a whole, by `catalog.synced` alone."""

    model_id: str
    """The model's id."""
    provider_type: str
    """Who serves it."""
    name: str
    """What its provider calls it."""
    enabled: bool
    """Whether it may be called."""
    deprecated_at: datetime | None
    """When its provider stops serving it, or since when it is deprecated; null: neither is known."""


class CatalogPriceChanged(Contract):
    """A model has a further dated price. One that starts before it was written down corrects the past: calls since then
    are to be priced again."""

    model_id: str
    """The model's id."""
    provider_type: str
    """Who serves it."""
    name: str
    """What its provider calls it."""
    version: str
    """The price's version, as events of calls name it."""
    starts_at: datetime
    """From when on it holds."""
    is_correction: bool
    """Whether that was before it was written down."""
    source: str
    """Where it was read, or `admin`."""


class AuditRecorded(Contract):
    """Who did what to which thing, when, and from where."""

    actor: str
    """Who did it: a user's id, or a service."""
    action: str
    """What was done."""
    subject: str
    """The thing that it was done to."""
    at: datetime
    """When, in UTC."""
    origin: str | None = None
    """The address it was asked from."""
    detail: dict[str, str] = Field(default_factory=dict)
    """What else is known of it; never a secret."""
