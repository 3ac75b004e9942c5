"""What each role is answered by each route, where a request is as it should be but for its body.

A route stands here or a test fails. A POST that makes something is sent a body that it refuses (422): who is let in so far
would be let in for good, and nothing is made. `422` and `404` of an admin are therefore as good as `200`; what must not
be mistaken are `401` (nobody knows you), `403` (not for your role), and `404` for what is another user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROLES = ("nobody", "owner", "stranger", "admin", "key")
"""In the order of the columns: not signed in; whose the things are; another user; an admin; the owner's virtual key."""

MANAGED: Mapping[str, str] = {
    "GET /api/v1/billing/summary": "401 200 200 200 401",
    "GET /api/v1/billing/ledger": "401 200 200 200 401",
    "GET /api/budgets": "401 200 200 200 401",
    "POST /api/budgets": "401 422 422 422 401",
    "GET /api/budgets/{budget_id}": "401 200 404 200 401",
    "DELETE /api/budgets/{budget_id}": "401 204 404 204 401",
    "POST /api/v1/billing/dry-run": "401 422 422 422 401",
    "GET /api/budgets/{budget_id}/explain": "401 200 404 200 401",
    "GET /api/v1/billing/statements": "401 200 200 200 401",
    "POST /api/v1/billing/reconciliations": "401 403 403 422 401",
    "POST /api/v1/billing/reconciliations/fetch": "401 403 403 422 401",
    "GET /api/v1/billing/reconciliations": "401 403 403 200 401",
    "GET /api/v1/billing/reconciliations/{reconciliation_id}": "401 403 403 200 401",
    "POST /api/v1/billing/reconciliations/{reconciliation_id}/accept": "401 403 403 200 401",
    "POST /api/v1/billing/rerating": "401 403 403 422 401",
    "GET /api/v1/billing/rerating": "401 403 403 200 401",
    "POST /api/v1/billing/rerating/{rerating_id}/book": "401 403 403 422 401",
    "GET /api/v1/llm/models/quarantine": "401 403 403 200 401",
    "POST /api/v1/llm/models/quarantine/{item_id}/accept": "401 403 403 404 401",
    "POST /api/v1/llm/models/quarantine/{item_id}/refuse": "401 403 403 404 401",
    "POST /api/v1/llm/models/{model_id}/prices": "401 403 403 422 401",
    "GET /api/v1/llm/models/{model_id}/prices": "200 200 200 200 200",
    "DELETE /api/v1/llm/models/{model_id}/pin": "401 403 403 404 401",
    "GET /api/v1/llm/models": "200 200 200 200 200",
    "POST /api/v1/llm/models": "401 403 403 422 401",
    "POST /api/v1/llm/models/sync": "401 403 403 200 401",
    "GET /api/v1/llm/models/syncs": "200 200 200 200 200",
    "GET /api/v1/llm/models/syncs/{sync_id}": "200 200 200 200 200",
    "GET /api/v1/llm/models/seen": "401 403 403 200 401",
    "GET /api/v1/llm/models/compare": "422 422 422 422 422",
    "POST /api/v1/llm/models/estimate": "422 422 422 422 422",
    "GET /api/v1/llm/models/{model_id}": "200 200 200 200 200",
    "PATCH /api/v1/llm/models/{model_id}": "401 403 403 422 401",
    "GET /api/v1/providers": "401 403 403 200 401",
    "POST /api/v1/providers": "401 403 403 422 401",
    "GET /api/v1/providers/{provider_id}": "401 403 403 200 401",
    "PATCH /api/v1/providers/{provider_id}": "401 403 403 200 401",
    "DELETE /api/v1/providers/{provider_id}": "401 403 403 204 401",
    "GET /api/v1/aliases": "401 403 403 200 401",
    "POST /api/v1/aliases": "401 403 403 422 401",
    "GET /api/v1/aliases/{alias_id}": "401 403 403 200 401",
    "PATCH /api/v1/aliases/{alias_id}": "401 403 403 200 401",
    "DELETE /api/v1/aliases/{alias_id}": "401 403 403 204 401",
    "GET /api/v1/tiers": "401 403 403 200 401",
    "GET /api/v1/tiers/{tier}": "401 403 403 200 401",
    "PATCH /api/v1/tiers/{tier}": "401 403 403 422 401",
    "PUT /api/v1/tiers/{tier}": "401 403 403 422 401",
    "POST /api/auth/signup": "422 422 422 422 422",
    "POST /api/auth/login": "422 422 422 422 422",
    "POST /api/auth/password": "401 422 422 422 401",
    "GET /api/auth/me": "401 200 200 200 401",
    "GET /api/v1/users/me/llm-credentials": "401 200 200 200 401",
    "POST /api/v1/users/me/llm-credentials": "401 422 422 422 401",
    "POST /api/v1/users/me/llm-credentials/validate": "401 422 422 422 401",
    "PATCH /api/v1/users/me/llm-credentials/{credential_id}": "401 200 404 404 401",
    "DELETE /api/v1/users/me/llm-credentials/{credential_id}": "401 204 404 404 401",
    "POST /api/v1/users/me/llm-credentials/{credential_id}/validate": "401 200 404 404 401",
    "GET /api/v1/users": "401 403 403 200 401",
    "GET /api/v1/users/{user_id}": "401 403 403 200 401",
    "PATCH /api/v1/users/{user_id}": "401 403 403 200 401",
    "POST /api/v1/teams": "401 403 403 422 401",
    "GET /api/v1/teams": "401 200 200 200 401",
    "GET /api/v1/teams/{team_id}": "401 200 404 200 401",
    "PATCH /api/v1/teams/{team_id}": "401 403 403 200 401",
    "DELETE /api/v1/teams/{team_id}": "401 403 403 204 401",
    "GET /api/v1/teams/{team_id}/members": "401 200 404 200 401",
    "POST /api/v1/teams/{team_id}/members": "401 403 403 422 401",
    "DELETE /api/v1/teams/{team_id}/members/{user_id}": "401 403 403 204 401",
    "POST /api/v1/keys": "401 422 422 422 401",
    "GET /api/v1/keys": "401 200 200 200 401",
    "GET /api/v1/keys/{key_id}": "401 200 404 200 401",
    "PATCH /api/v1/keys/{key_id}": "401 200 404 200 401",
    "DELETE /api/v1/keys/{key_id}": "401 204 404 204 401",
    "POST /api/v1/keys/{key_id}/rotate": "401 200 404 200 401",
    "GET /api/v1/keys/{key_id}/rotation": "401 404 404 404 401",
    "PUT /api/v1/keys/{key_id}/rotation": "401 200 404 200 401",
    "DELETE /api/v1/keys/{key_id}/rotation": "401 404 404 404 401",
    "GET /api/v1/llm/providers/keys": "401 403 403 200 401",
    "POST /api/v1/llm/providers/keys": "401 403 403 422 401",
    "DELETE /api/v1/llm/providers/keys/{provider_type}": "401 403 403 404 401",
    "POST /api/v1/llm/providers/keys/{provider_type}/test": "401 403 403 200 401",
    "GET /api/v1/llm/providers/info": "401 403 403 200 401",
    "POST /api/v1/llm/providers/encryption/rotate": "401 403 403 200 401",
    "GET /api/v1/audit": "401 403 403 200 401",
    "GET /api/v1/audit/verify": "401 403 403 200 401",
    "GET /api/v1/analytics/requests": "401 200 200 200 401",
    "GET /api/v1/analytics/requests/{request_id}": "401 200 404 200 401",
    "GET /api/costs/summary": "401 200 200 200 401",
    "GET /api/v1/providers/health": "401 403 403 200 401",
    "GET /api/auth/oidc": "200 200 200 200 200",
    # Where no issuer is set up there is nothing to sign in with: 404.
    "GET /api/auth/oidc/login": "404 404 404 404 404",
    "GET /api/auth/oidc/callback": "404 404 404 404 404",
    "POST /api/auth/oidc/link": "401 422 422 422 401",
    "DELETE /api/auth/oidc/link": "401 404 404 404 401",
    "POST /api/auth/oidc/backchannel-logout": "422 422 422 422 422",
    "GET /v1/organization/costs": "401 403 403 400 401",
    "GET /v1/organization/usage/completions": "401 403 403 400 401",
    "POST /api/auth/oidc/logout": "401 200 200 200 401",
    "POST /api/auth/logout": "401 204 204 204 401",
}
"""`/api/*`, by the services' OpenAPI documents."""

INTERNAL = ("POST /internal/v1/credentials/{credential_id}/open",)
"""In no document: for services that show a token of their own."""

KEYED: Mapping[str, str] = {
    "GET /models": "401 401 401 401 200",
    "GET /models/{id}": "401 401 401 401 200",
    "POST /audio/speech": "401 401 401 401 400",
    "POST /audio/transcriptions": "401 401 401 401 400",
    "POST /audio/translations": "401 401 401 401 400",
    "POST /chat/completions": "401 401 401 401 400",
    "POST /embeddings": "401 401 401 401 400",
    "POST /images/generations": "401 401 401 401 400",
    "POST /completions": "401 401 401 401 400",
    "POST /responses": "401 401 401 401 400",
    "POST /responses/input_tokens": "401 401 401 401 400",
    "POST /responses/compact": "401 401 401 401 400",
    "GET /responses/{id}": "401 401 401 401 404",
    "DELETE /responses/{id}": "401 401 401 401 404",
    "GET /responses/{id}/input_items": "401 401 401 401 404",
    "POST /responses/{id}/cancel": "401 401 401 401 404",
    "POST /messages": "401 401 401 401 400",
    "POST /messages/count_tokens": "401 401 401 401 400",
    "POST /moderations": "401 401 401 401 400",
    "POST /rerank": "401 401 401 401 400",
}
"""Calls, by what follows the version; a session is no key. An empty body is refused (400) once the key is known."""

OPEN: Mapping[str, str] = {
    "GET /health": "200 200 200 200 200",
    "GET /api/health": "200 200 200 200 200",
    "GET /livez": "200 200 200 200 200",
    "GET /readyz": "200 200 200 200 200",
    "GET /metrics": "200 200 200 200 200",
}
"""For probes and load balancers: they tell of the process, of nobody's things."""

ENDING = ("POST /api/auth/logout", "POST /api/auth/oidc/logout")
"""What ends the session of whoever asks."""

_REFUSED = {"surprise": True}
BODIES: Mapping[str, Any] = {
    **{route: _REFUSED for route in MANAGED if route.startswith(("POST", "PUT", "PATCH")) and "{" not in route},
    "PUT /api/v1/keys/{key_id}/rotation": {"every_days": 30},
}
"""What is sent where `{}` would do something."""

FRESH = {
    "DELETE /api/budgets/{budget_id}": "budget_id",
    "DELETE /api/v1/providers/{provider_id}": "provider_id",
    "DELETE /api/v1/aliases/{alias_id}": "alias_id",
    "DELETE /api/v1/users/me/llm-credentials/{credential_id}": "credential_id",
    "DELETE /api/v1/teams/{team_id}": "team_id",
    "DELETE /api/v1/teams/{team_id}/members/{user_id}": "team_id",
    "DELETE /api/v1/keys/{key_id}": "key_id",
    "POST /api/v1/keys/{key_id}/rotate": "key_id",
    "GET /api/v1/keys/{key_id}/rotation": "key_id",
    "PUT /api/v1/keys/{key_id}/rotation": "key_id",
    "DELETE /api/v1/keys/{key_id}/rotation": "key_id",
}
"""What a route uses up: a fresh one is made for everybody who asks."""
