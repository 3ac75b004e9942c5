"""What an admin does at each service, as the audit trail calls it; `{…}` is a thing that was made for the occasion.

A route that writes stands here or in `NO_ACTS`, or a test fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class ActOf(NamedTuple):
    """One act: its action in the trail, what is sent, and which fresh thing it is done to."""

    action: str
    body: Any = None
    needs: str | None = None


_CREDENTIAL = {"provider": "cohere", "api_key": "sim-ok-audited"}
_BILL = {"provider_type": "openai", "format": "csv", "content": "day,model,amount_usd\n2026-11-01,gpt-4,7\n"}
_PRICE = {"cost_per_1m_input": "1", "cost_per_1m_output": "2", "pinned": True}
_MODEL = {"provider": "openai", "name": "{name}", "cost_per_1m_input": "1", "cost_per_1m_output": "2"}
_ALIAS = {"alias": "{name}", "deployments": [{"provider": "openai", "model": "gpt-4"}]}

ACTS: Mapping[str, ActOf] = {
    "POST /api/budgets": ActOf("budget.created", {"scope": "key", "scope_id": "{key_id}", "limit": 5}, "key_id"),
    "DELETE /api/budgets/{budget_id}": ActOf("budget.removed", None, "budget_id"),
    "POST /api/v1/billing/reconciliations": ActOf("bill.reconciled", _BILL),
    "POST /api/v1/billing/reconciliations/{reconciliation_id}/accept": ActOf(
        "drift.accepted", None, "reconciliation_id"
    ),
    "POST /api/v1/llm/models": ActOf("model.created", _MODEL),
    "PATCH /api/v1/llm/models/{model_id}": ActOf("model.disabled", {"enabled": False}, "model_id"),
    "POST /api/v1/llm/models/{model_id}/prices": ActOf("price.pinned", _PRICE, "model_id"),
    "DELETE /api/v1/llm/models/{model_id}/pin": ActOf("price.unpinned", None, "pinned_model_id"),
    "POST /api/v1/llm/models/sync": ActOf("catalog.synced"),
    "POST /api/v1/providers": ActOf("provider.created", {"name": "{name}", "provider_type": "openai"}),
    "PATCH /api/v1/providers/{provider_id}": ActOf("provider.updated", {"priority": 7}, "provider_id"),
    "DELETE /api/v1/providers/{provider_id}": ActOf("provider.removed", None, "provider_id"),
    "POST /api/v1/aliases": ActOf("alias.created", _ALIAS),
    "PATCH /api/v1/aliases/{alias_id}": ActOf("alias.updated", {"enabled": False}, "alias_id"),
    "DELETE /api/v1/aliases/{alias_id}": ActOf("alias.removed", None, "alias_id"),
    "PATCH /api/v1/tiers/{tier}": ActOf("tier.updated", {"allowed": "{allowed}"}, "tier"),
    "PUT /api/v1/tiers/{tier}": ActOf("tier.updated", {"allowed": "{allowed}"}, "tier"),
    "PATCH /api/v1/users/{user_id}": ActOf("user.changed", {"rate_limit": 77}, "user_id"),
    "POST /api/v1/teams": ActOf("team.created", {"name": "{name}"}),
    "PATCH /api/v1/teams/{team_id}": ActOf("team.changed", {"rate_limit": 7}, "team_id"),
    "POST /api/v1/teams/{team_id}/members": ActOf("team.member_added", {"user_id": "{user_id}"}, "team_id"),
    "DELETE /api/v1/teams/{team_id}/members/{user_id}": ActOf("team.member_removed", None, "joined_team_id"),
    "DELETE /api/v1/teams/{team_id}": ActOf("team.removed", None, "team_id"),
    "POST /api/v1/keys": ActOf("key.created", {"name": "{name}"}),
    "PATCH /api/v1/keys/{key_id}": ActOf("key.changed", {"rate_limit": 3}, "key_id"),
    "POST /api/v1/keys/{key_id}/rotate": ActOf("key.rotated", None, "key_id"),
    "PUT /api/v1/keys/{key_id}/rotation": ActOf("key.rotation_scheduled", {"every_days": 9}, "key_id"),
    "DELETE /api/v1/keys/{key_id}/rotation": ActOf("key.rotation_unscheduled", None, "scheduled_key_id"),
    "DELETE /api/v1/keys/{key_id}": ActOf("key.revoked", None, "key_id"),
    "POST /api/v1/llm/providers/keys": ActOf(
        "provider_key.saved", {"provider_type": "deepseek", "api_key": "sim-ok-audited"}
    ),
    "POST /api/v1/llm/providers/keys/{provider_type}/test": ActOf("provider_key.tested", None, "provider_type"),
    "DELETE /api/v1/llm/providers/keys/{provider_type}": ActOf("provider_key.removed", None, "provider_type"),
    "POST /api/v1/users/me/llm-credentials": ActOf("credential.created", _CREDENTIAL),
    "PATCH /api/v1/users/me/llm-credentials/{credential_id}": ActOf(
        "credential.changed", {"name": "{name}"}, "credential_id"
    ),
    "POST /api/v1/users/me/llm-credentials/{credential_id}/validate": ActOf(
        "credential.validated", None, "credential_id"
    ),
    "DELETE /api/v1/users/me/llm-credentials/{credential_id}": ActOf("credential.removed", None, "credential_id"),
}
"""Everything that an admin can change, in an order in which each finds what it needs."""

NO_ACTS = {
    "POST /api/v1/billing/dry-run": "asks",
    "POST /api/v1/billing/rerating": "asks",
    "POST /api/v1/billing/rerating/{rerating_id}/book": "audited as calls.rerated: shown where there are wrong prices",
    "POST /api/v1/billing/reconciliations/fetch": "needs a provider's admin key; audited like a bill that is given",
    "POST /api/v1/llm/models/estimate": "asks",
    "POST /api/v1/llm/models/quarantine/{item_id}/accept": "needs a quarantined price; audited where that is tested",
    "POST /api/v1/llm/models/quarantine/{item_id}/refuse": "needs a quarantined price; audited where that is tested",
    "POST /api/v1/llm/providers/encryption/rotate": "audits what it encrypts anew, and there is nothing",
    "POST /api/v1/users/me/llm-credentials/validate": "tries a key that nobody keeps",
    "POST /api/auth/signup": "an account's own beginning; audited as user.created",
    "POST /api/auth/login": "a session",
    "POST /api/auth/logout": "a session",
    "POST /api/auth/password": "one's own; audited as user.password_changed",
    "POST /api/auth/oidc/link": "begins a login",
    "DELETE /api/auth/oidc/link": "needs an issuer; audited as user.unlinked",
    "POST /api/auth/oidc/logout": "a session",
    "POST /api/auth/oidc/backchannel-logout": "the issuer's; audited as user.logged_out",
}
"""Writes that are no acts of an admin, or cannot be done on a machine as it comes: why."""
