"""Every route of the service, for everybody: nobody, a user, an admin. Made from the service's own OpenAPI document, so
that a new route cannot be forgotten."""

from __future__ import annotations

import re
from typing import Any, Literal

Access = Literal["anybody", "user", "admin"]

EXPECTED: dict[tuple[str, str], Access] = {
    ("POST", "/api/auth/signup"): "anybody",
    ("POST", "/api/auth/login"): "anybody",
    ("POST", "/api/auth/logout"): "user",
    ("GET", "/api/auth/me"): "user",
    ("POST", "/api/auth/password"): "user",
    ("GET", "/api/auth/oidc"): "anybody",
    ("GET", "/api/auth/oidc/login"): "anybody",
    ("GET", "/api/auth/oidc/callback"): "anybody",
    ("POST", "/api/auth/oidc/link"): "user",
    ("DELETE", "/api/auth/oidc/link"): "user",
    ("POST", "/api/auth/oidc/logout"): "user",
    ("POST", "/api/auth/oidc/backchannel-logout"): "anybody",
    ("GET", "/api/v1/users/me/llm-credentials"): "user",
    ("POST", "/api/v1/users/me/llm-credentials"): "user",
    ("POST", "/api/v1/users/me/llm-credentials/validate"): "user",
    ("PATCH", "/api/v1/users/me/llm-credentials/{credential_id}"): "user",
    ("DELETE", "/api/v1/users/me/llm-credentials/{credential_id}"): "user",
    ("POST", "/api/v1/users/me/llm-credentials/{credential_id}/validate"): "user",
    ("GET", "/api/v1/users"): "admin",
    ("GET", "/api/v1/users/{user_id}"): "admin",
    ("PATCH", "/api/v1/users/{user_id}"): "admin",
    ("GET", "/api/v1/teams"): "user",
    ("POST", "/api/v1/teams"): "admin",
    ("GET", "/api/v1/teams/{team_id}"): "user",
    ("PATCH", "/api/v1/teams/{team_id}"): "admin",
    ("DELETE", "/api/v1/teams/{team_id}"): "admin",
    ("GET", "/api/v1/teams/{team_id}/members"): "user",
    ("POST", "/api/v1/teams/{team_id}/members"): "admin",
    ("DELETE", "/api/v1/teams/{team_id}/members/{user_id}"): "admin",
    ("GET", "/api/v1/keys"): "user",
    ("POST", "/api/v1/keys"): "user",
    ("GET", "/api/v1/keys/{key_id}"): "user",
    ("PATCH", "/api/v1/keys/{key_id}"): "user",
    ("DELETE", "/api/v1/keys/{key_id}"): "user",
    ("POST", "/api/v1/keys/{key_id}/rotate"): "user",
    ("GET", "/api/v1/keys/{key_id}/rotation"): "user",
    ("PUT", "/api/v1/keys/{key_id}/rotation"): "user",
    ("DELETE", "/api/v1/keys/{key_id}/rotation"): "user",
    ("GET", "/api/v1/llm/providers/keys"): "admin",
    ("POST", "/api/v1/llm/providers/keys"): "admin",
    ("DELETE", "/api/v1/llm/providers/keys/{provider_type}"): "admin",
    ("POST", "/api/v1/llm/providers/keys/{provider_type}/test"): "admin",
    ("GET", "/api/v1/llm/providers/info"): "admin",
    ("POST", "/api/v1/llm/providers/encryption/rotate"): "admin",
    ("GET", "/api/v1/audit"): "admin",
    ("GET", "/api/v1/audit/verify"): "admin",
}


async def test_every_route_lets_in_whom_it_should_and_nobody_else(vault: Any) -> None:
    document = (await vault.client.get("/openapi.json")).json()
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert routes == EXPECTED.keys()
    admin = await vault.admin()
    for (method, path), access in EXPECTED.items():
        asked = re.sub(r"\{\w+_id\}", "nobody", path.replace("{provider_type}", "openai"))
        # An impossible body: whoever is let in is told so (422, 400, 404), and nothing is changed.
        body = None if method in ("GET", "DELETE") or path.endswith(("/logout", "test")) else {"surprise": True}
        nobody = await vault.call(method, asked, None, body)
        user = await vault.call(method, asked, await vault.person(), body)
        by_admin = await vault.call(method, asked, admin if not path.endswith("/logout") else await vault.admin(), body)
        refused = {"anybody": (False, False), "user": (True, False), "admin": (True, True)}[access]
        assert (nobody.status_code == 401, user.status_code == 403) == refused, (method, path)
        assert by_admin.status_code not in (401, 403, 500), (method, path, by_admin.text)


async def test_unknown_routes_and_methods_say_so(vault: Any) -> None:
    assert (await vault.client.get("/api/v1/nothing")).status_code == 404
    assert (await vault.client.put("/api/v1/keys")).status_code == 405


async def test_the_probes_answer_everybody(vault: Any) -> None:
    assert (await vault.client.get("/livez")).status_code == 200
    ready = (await vault.client.get("/readyz")).json()
    assert ready == {"postgres": True, "nats": True, "sessions": True, "signing_key": True}
    metrics = (await vault.client.get("/metrics")).text
    assert "tollgate_keyvault_audit_chain_intact 1.0" in metrics
