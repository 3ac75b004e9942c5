"""Signing in with an OpenID Connect provider that others wrote (authlib's server, in `oidc-provider-mock`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx2
import oidc_provider_mock
from common.testing.servers import Servers

REDIRECT_URL = "http://localhost/api/auth/oidc/callback"


async def test_a_provider_that_others_wrote_signs_people_in(servers: Servers, vault_with: Any) -> None:
    with oidc_provider_mock.run_server_in_thread(require_client_registration=True, require_nonce=True) as provider:
        url = f"http://localhost:{provider.server_port}"
        async with httpx2.AsyncClient(base_url=url) as there:
            registered = (await there.post("/oauth2/clients", json={"redirect_uris": [REDIRECT_URL]})).json()
            claims = {"email": "ada@example.com", "email_verified": True, "name": "Ada", "roles": ["tollgate-admin"]}
            await there.put("/users/ada", json=claims)
            settings = {
                "OIDC_ISSUER": url,
                "OIDC_CLIENT_ID": registered["client_id"],
                "OIDC_CLIENT_SECRET": registered["client_secret"],
                "OIDC_REDIRECT_URL": REDIRECT_URL,
                "OIDC_ROLE_CLAIM": "roles",
            }
            async with vault_with(**settings) as vault, httpx2.AsyncClient(base_url=vault.url, timeout=20) as browser:
                begun = await browser.get("/api/auth/oidc/login")
                consent = await there.post(begun.headers["location"], data={"sub": "ada"})
                query = urlsplit(consent.headers["location"]).query
                back = await browser.get(f"/api/auth/oidc/callback?{query}")
                assert back.status_code == 303, back.text
                me = (await browser.get("/api/auth/me")).json()
                assert (me["email"], me["role"], me["tier"]) == ("ada@example.com", "admin", "trial")
                denied = await browser.get("/api/auth/oidc/login")
                consent = await there.post(denied.headers["location"], data={"action": "deny"})
                query = urlsplit(consent.headers["location"]).query
                refused = await browser.get(f"/api/auth/oidc/callback?{query}")
                assert refused.status_code == 400, refused.text  # it sends no state back
