"""Delivering secrets to the gateway and catalog-sync: sealed, audited first, to nobody else."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from common.secret import SealBroken, public_key_of, unseal
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

REAL = "sk-proj-canary-1234"
OWN = X25519PrivateKey.generate()
RECIPIENT = public_key_of(OWN)


@pytest.fixture
def of_catalog_sync(vault: Any) -> str:
    """catalog-sync's token."""
    return str(vault.environment["CATALOG_SYNC_SERVICE_TOKEN"])


@pytest_asyncio.fixture(autouse=True)
async def _no_credentials_yet(vault: Any) -> None:
    """Each test begins without credentials."""
    await vault.owner.execute("DELETE FROM credentials")


async def saved(vault: Any, provider: str = "openai") -> str:
    """The id of a system credential that an admin gave."""
    body = {"provider_type": provider, "api_key": REAL}
    answer = await vault.call("POST", "/api/v1/llm/providers/keys", await vault.admin(), body)
    assert answer.status_code == 201, answer.text
    query = "SELECT id FROM credentials WHERE provider_type = $1 AND status = 'active'"
    return str(await vault.owner.fetchval(query, provider))


async def test_the_gateway_gets_a_secret_that_only_it_can_open(vault: Any) -> None:
    credential_id = await saved(vault)
    answer = await vault.open_credential(credential_id, RECIPIENT)
    assert answer.status_code == 200
    assert answer.json().keys() == {"credential_id", "version", "sealed"}
    assert REAL not in answer.text
    sealed = answer.json()["sealed"]
    assert unseal(sealed, OWN, f"{credential_id}/1").reveal() == REAL
    with pytest.raises(SealBroken):
        unseal(sealed, X25519PrivateKey.generate(), f"{credential_id}/1")
    with pytest.raises(SealBroken):
        unseal(sealed, OWN, f"{credential_id}/2")


async def test_every_delivery_is_in_the_trail_with_who_and_what(vault: Any, of_catalog_sync: str) -> None:
    credential_id = await saved(vault)
    await vault.open_credential(credential_id, RECIPIENT)
    await vault.open_credential(credential_id, RECIPIENT, of_catalog_sync)
    rows = await vault.owner.fetch(
        "SELECT * FROM audit_entries WHERE action = 'credential.opened' AND subject = $1 ORDER BY id", credential_id
    )
    assert [(row["actor"], row["subject"]) for row in rows] == [
        ("service:gateway", credential_id),
        ("service:catalog-sync", credential_id),
    ]
    assert b"1234" not in str([dict(row) for row in rows]).encode()


async def test_without_an_audit_row_there_is_no_secret(vault: Any) -> None:
    credential_id = await saved(vault)
    await vault.owner.execute("REVOKE INSERT ON audit_entries FROM keyvault")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await vault.app.state.services.keyvault.deliveries.open("gateway", credential_id, RECIPIENT, None)
    finally:
        await vault.owner.execute("GRANT INSERT ON audit_entries TO keyvault")


async def test_nobody_else_gets_a_secret(vault: Any) -> None:
    credential_id = await saved(vault)
    admin = await vault.admin()
    token = vault.environment["GATEWAY_SERVICE_TOKEN"]
    session = admin.headers["authorization"].removeprefix("Bearer ")
    for wrong in (None, "x", token[:-1], token + "x", token.upper(), session, "x" * 100_00):
        answer = await vault.open_credential(credential_id, RECIPIENT, wrong)
        assert answer.status_code == 401, wrong
    basic = {"authorization": f"Basic {token}"}
    path = f"/internal/v1/credentials/{credential_id}/open"
    assert (await vault.client.post(path, json={"recipient": RECIPIENT}, headers=basic)).status_code == 401
    assert (await vault.client.post(path, json={"surprise": 1})).status_code == 401
    assert "credential.opened" not in await vault.audit_actions(credential_id)


async def test_what_is_not_there_or_no_recipient_is_refused(vault: Any) -> None:
    credential_id = await saved(vault)
    assert (await vault.open_credential("nobody", RECIPIENT)).status_code == 404
    assert (await vault.open_credential("nul%00", RECIPIENT)).status_code == 422
    for recipient in ("", "x", "A" * 43, RECIPIENT + "=", "!" * 43):
        assert (await vault.open_credential(credential_id, recipient)).status_code == 422, recipient
    await vault.call("DELETE", "/api/v1/llm/providers/keys/openai", await vault.admin())
    assert (await vault.open_credential(credential_id, RECIPIENT)).status_code == 404


async def test_catalog_sync_gets_the_operators_secrets_only(vault: Any, of_catalog_sync: str) -> None:
    user = await vault.person()
    credential_id = await saved(vault)
    assert (await vault.open_credential(credential_id, RECIPIENT, of_catalog_sync)).status_code == 200
    await vault.owner.execute("UPDATE credentials SET owner_user_id = $1", user.id)
    assert (await vault.open_credential(credential_id, RECIPIENT, of_catalog_sync)).status_code == 404


async def test_a_ciphertext_moved_to_another_row_or_host_is_refused(vault: Any) -> None:
    first, second = await saved(vault, "openai"), await saved(vault, "groq")
    await vault.owner.execute(
        "UPDATE credentials SET ciphertext = (SELECT ciphertext FROM credentials WHERE id = $1) WHERE id = $2",
        first,
        second,
    )
    moved = await vault.open_credential(second, RECIPIENT)
    assert moved.status_code == 503
    assert "sealed" not in moved.text
    await vault.owner.execute("UPDATE credentials SET base_url = 'https://evil.example' WHERE id = $1", first)
    assert (await vault.open_credential(first, RECIPIENT)).status_code == 503
    await vault.owner.execute("UPDATE credentials SET base_url = NULL WHERE id = $1", first)
    assert (await vault.open_credential(first, RECIPIENT)).status_code == 200
