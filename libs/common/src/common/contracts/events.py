"""Every event that is told today: one row each, with its contract, its subject, and what it looks like.

The golden files (`libs/common/contracts`), the page about them and the tests of producers and consumers come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from common.contracts.billing import (
    BILL_RECONCILED,
    BUDGET_THRESHOLD_REACHED,
    CALLS_RERATED,
    BillReconciled,
    BudgetThresholdReached,
    CallsRerated,
)
from common.contracts.billing_examples import RECONCILED, RERATED, THRESHOLD
from common.contracts.changes import (
    AUDIT_RECORDED,
    CATALOG_MODEL_REMOVED,
    CATALOG_MODEL_UPSERTED,
    CATALOG_PRICE_CHANGED,
    CATALOG_SYNCED,
    CREDENTIAL_CHANGED,
    CREDENTIAL_INVALID,
    CREDENTIAL_REMINDED,
    KEY_CREATED,
    KEY_REMINDED,
    KEY_REVOKED,
    KEY_UPDATED,
    AuditRecorded,
    CatalogModelChanged,
    CatalogPriceChanged,
    CatalogSynced,
    CredentialChanged,
    CredentialInvalid,
    CredentialReminded,
    KeyChanged,
    KeyReminded,
)
from common.contracts.envelope import Contract, Envelope
from common.contracts.topology import AUDIT, BILLING, CATALOG, KEYS, USAGE, Stream
from common.contracts.usage import USAGE_RECORDED, USAGE_REJECTED, UsageRecorded, UsageRejected
from common.contracts.usage_examples import USAGE_EXAMPLES

_PREFIX = "tollgate."
_KEY = "0199f3a1-6c2e-7d40-9a51-3f0c7be2d914"
_MODEL = "b1f7a2d3-4c5e-5f60-8a7b-9c0d1e2f3a4b"
_USER = "0199f3a0-11d2-7a6b-8c0e-54f6a7b8c9d0"


@dataclass(frozen=True)
class Event:
    """One kind of event: its CloudEvents type, what it carries, where it is told and by whom; examples by name."""

    event_type: str
    content: type[Contract]
    stream: Stream
    subject: str
    owner: str
    examples: Mapping[str, dict[str, Any]]

    @property
    def name(self) -> str:
        """The type without our prefix: `usage.recorded.v1`; the name of its folder of golden files."""
        return self.event_type.removeprefix(_PREFIX)

    @property
    def envelope(self) -> type[Envelope[Any]]:
        """The model of an event of this kind, with its envelope."""
        return cast("type[Envelope[Any]]", Envelope.__class_getitem__(self.content))


def _told(
    event_id: str, source: str, event_type: str, time: str, content: dict[str, Any], subject: str | None = None
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": event_type,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "dataschema": None,
        "traceparent": None,
        "data": content,
    }


def _rejected() -> dict[str, Any]:
    request_id = "0199f3bf-7d21-7a04-9e8f-102132435465"
    return _told(
        "0199f3bf-7d22-7c53-8a90-b1c2d3e4f506",
        "/gateway",
        USAGE_REJECTED,
        "2026-11-21T08:36:20.017Z",
        {
            "request_id": request_id,
            "api_key_id": _KEY,
            "reason": "rate_limit_exceeded",
            "http_status": 429,
            "requested_model": "gpt-4o",
            "sampled_one_in": 1,
        },
        request_id,
    )


def _key(event_id: str, event_type: str, time: str, name: str, *changed: str) -> dict[str, Any]:
    content = {"api_key_id": _KEY, "name": name, "user_id": _USER, "changed": list(changed)}
    return _told(event_id, "/keyvault", event_type, time, content)


def _credential() -> dict[str, Any]:
    return _told(
        "0199f39f-0a90-7d3e-9c1a-2b3c4d5e6f70",
        "/keyvault",
        CREDENTIAL_CHANGED,
        "2026-11-21T07:58:11Z",
        {
            "credential_id": "0199f39f-0a7d-7c11-b0f3-6d5e4f3a2b1c",
            "provider_type": "openai",
            "version": 2,
            "enabled": True,
            "owner_user_id": None,
        },
    )


def _invalid() -> dict[str, Any]:
    return _told(
        "0199f3c8-4e02-7b93-a1d4-8f9eadbccbda",
        "/keyvault",
        CREDENTIAL_INVALID,
        "2026-11-21T08:45:44.1Z",
        {
            "credential_id": "0199f3b2-77a1-7c3d-8e5f-0a1b2c3d4e5f",
            "provider_type": "anthropic",
            "version": 1,
            "name": "my own",
            "owner_user_id": _USER,
            "refused_at": "2026-11-21T08:45:43.2Z",
        },
    )


def _key_reminded() -> dict[str, Any]:
    return _told(
        "0199f3c9-5f13-7ca4-92e5-90a1b2c3d4e5",
        "/keyvault",
        KEY_REMINDED,
        "2026-11-21T08:46:00Z",
        {
            "api_key_id": _KEY,
            "name": "search in production",
            "user_id": _USER,
            "reason": "rotation_due",
            "secret_ends_at": "2026-11-28T08:46:00Z",
        },
    )


def _credential_reminded() -> dict[str, Any]:
    return _told(
        "0199f3ca-6a24-7db5-83f6-a1b2c3d4e5f6",
        "/keyvault",
        CREDENTIAL_REMINDED,
        "2026-11-21T08:47:00Z",
        {
            "credential_id": "0199f39f-0a7d-7c11-b0f3-6d5e4f3a2b1c",
            "provider_type": "openai",
            "version": 2,
            "name": "OpenAI",
            "owner_user_id": None,
            "reason": "expires",
            "secret_at": "2026-09-01T12:00:00Z",
            "expires_at": "2026-12-01T00:00:00Z",
            "last_used_at": "2026-11-21T08:45:43.2Z",
        },
    )


def _synced() -> dict[str, Any]:
    return _told(
        "0199f38e-5514-7f6a-a3d1-c4b5a6978899",
        "/catalog-sync",
        CATALOG_SYNCED,
        "2026-11-21T07:40:00.310Z",
        {"source": "packaged", "models_added": 12, "models_changed": 3, "models_gone": 1, "prices_added": 17},
    )


def _model_changed(event_id: str, event_type: str, name: str, deprecated_at: str | None) -> dict[str, Any]:
    content = {
        "model_id": _MODEL,
        "provider_type": "openai",
        "name": name,
        "enabled": True,
        "deprecated_at": deprecated_at,
    }
    return _told(event_id, "/catalog-sync", event_type, "2026-11-21T07:40:00.310Z", content)


def _price_changed() -> dict[str, Any]:
    return _told(
        "0199f38e-5515-7a01-b2c3-d4e5f6071829",
        "/catalog-sync",
        CATALOG_PRICE_CHANGED,
        "2026-11-21T07:40:00.310Z",
        {
            "model_id": _MODEL,
            "provider_type": "openai",
            "name": "gpt-4o",
            "version": "7d5f0c8e-63a4-5b1e-9f47-2c1d8e0a9b36",
            "starts_at": "2026-11-21T07:40:00.300Z",
            "is_correction": False,
            "source": "litellm",
        },
    )


def _audited() -> dict[str, Any]:
    return _told(
        "0199f3c1-20b7-7b1d-8f2e-3d4c5b6a7988",
        "/catalog-sync",
        AUDIT_RECORDED,
        "2026-11-21T08:38:07.902Z",
        {
            "actor": _USER,
            "action": "alias.created",
            "subject": "alias/my-gpt4",
            "at": "2026-11-21T08:38:07.902Z",
            "origin": "203.0.113.7",
            "detail": {"deployments": "openai/gpt-4o, openrouter/openai/gpt-4o"},
        },
    )


def _threshold() -> dict[str, Any]:
    return _told(
        "1b0f6a4e-3a52-5d0c-9c55-9f2f0c5f7a55",
        "/billing",
        BUDGET_THRESHOLD_REACHED,
        "2026-11-21T08:39:12.004Z",
        dict(THRESHOLD),
    )


def _reconciled() -> dict[str, Any]:
    return _told(
        "0199f3c2-3e5f-7a60-8b1c-2d3e4f506172",
        "/billing",
        BILL_RECONCILED,
        "2026-11-21T08:40:31.118Z",
        dict(RECONCILED),
    )


def _rerated() -> dict[str, Any]:
    return _told(
        "5c3b2f0e-90c1-5a8e-8a53-6f1e2d3c4b5a",
        "/billing",
        CALLS_RERATED,
        "2026-11-21T08:43:10.5Z",
        dict(RERATED),
    )


def _one(example: dict[str, Any]) -> Mapping[str, dict[str, Any]]:
    return MappingProxyType({"ordinary": example})


EVENTS = (
    Event(
        USAGE_RECORDED,
        UsageRecorded,
        USAGE,
        "usage.recorded.<provider_type>.<api_key_id or none>",
        "gateway",
        USAGE_EXAMPLES,
    ),
    Event(USAGE_REJECTED, UsageRejected, USAGE, "usage.rejected.<reason>", "gateway", _one(_rejected())),
    Event(
        KEY_CREATED,
        KeyChanged,
        KEYS,
        "keys.created",
        "keyvault",
        _one(
            _key("0199f3a1-6c3a-7e02-b6d7-e8f90a1b2c3d", KEY_CREATED, "2026-11-21T08:00:47.5Z", "search in production")
        ),
    ),
    Event(
        KEY_UPDATED,
        KeyChanged,
        KEYS,
        "keys.updated",
        "keyvault",
        _one(
            _key(
                "0199f3a9-02c4-7a77-9d3b-1f2e3d4c5b6a",
                KEY_UPDATED,
                "2026-11-21T08:09:05Z",
                "search in production",
                "monthly_budget",
                "rate_limit",
            )
        ),
    ),
    Event(
        KEY_REVOKED,
        KeyChanged,
        KEYS,
        "keys.revoked",
        "keyvault",
        _one(
            _key("0199f3c4-91e8-7d05-8c6b-7a8b9cadbecf", KEY_REVOKED, "2026-11-21T08:41:53.25Z", "search in production")
        ),
    ),
    Event(CREDENTIAL_CHANGED, CredentialChanged, KEYS, "credentials.changed", "keyvault", _one(_credential())),
    Event(CREDENTIAL_INVALID, CredentialInvalid, KEYS, "credentials.invalid", "keyvault", _one(_invalid())),
    Event(KEY_REMINDED, KeyReminded, KEYS, "keys.reminded", "keyvault", _one(_key_reminded())),
    Event(
        CREDENTIAL_REMINDED, CredentialReminded, KEYS, "credentials.reminded", "keyvault", _one(_credential_reminded())
    ),
    Event(CATALOG_SYNCED, CatalogSynced, CATALOG, "catalog.synced", "catalog-sync", _one(_synced())),
    Event(
        BUDGET_THRESHOLD_REACHED,
        BudgetThresholdReached,
        BILLING,
        "billing.budget.threshold",
        "billing",
        _one(_threshold()),
    ),
    Event(BILL_RECONCILED, BillReconciled, BILLING, "billing.reconciled", "billing", _one(_reconciled())),
    Event(CALLS_RERATED, CallsRerated, BILLING, "billing.rerated", "billing", _one(_rerated())),
    Event(
        CATALOG_MODEL_UPSERTED,
        CatalogModelChanged,
        CATALOG,
        "catalog.model.upserted",
        "catalog-sync",
        _one(
            _model_changed(
                "0199f38e-5516-7b12-a3c4-e5f607182930", CATALOG_MODEL_UPSERTED, "gpt-4o", "2027-03-31T00:00:00Z"
            )
        ),
    ),
    Event(
        CATALOG_MODEL_REMOVED,
        CatalogModelChanged,
        CATALOG,
        "catalog.model.removed",
        "catalog-sync",
        _one(_model_changed("0199f38e-5517-7c23-b4d5-f60718293041", CATALOG_MODEL_REMOVED, "gpt-3.5-turbo-0301", None)),
    ),
    Event(
        CATALOG_PRICE_CHANGED,
        CatalogPriceChanged,
        CATALOG,
        "catalog.price.changed",
        "catalog-sync",
        _one(_price_changed()),
    ),
    Event(AUDIT_RECORDED, AuditRecorded, AUDIT, "audit.recorded.<service>", "every service", _one(_audited())),
)
"""The table. Subjects that no row names yet (`billing.charged`, `alerts.*`, `content.*`) are reserved by their streams."""
