"""Rotating the master key while serving; secrets that somebody wrote into the table as they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from common.secret import Secret, public_key_of, unseal
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from keyvault.domain.actors import SYSTEM
from keyvault.domain.encryption import kid_of
from keyvault.jobs import Jobs

from .test_own_credentials_api import give

OWN = X25519PrivateKey.generate()
RECIPIENT = public_key_of(OWN)
ROTATE = "/api/v1/llm/providers/encryption/rotate"


async def kids(alone: Any) -> set[str]:
    rows = await alone.owner.fetch("SELECT DISTINCT kid FROM credentials WHERE status = 'active'")
    return {row["kid"] for row in rows}


async def opened(alone: Any, credential_id: str) -> str:
    """The secret as the gateway gets it; it is still the first version."""
    answer = await alone.open_credential(credential_id, RECIPIENT)
    assert answer.status_code == 200, answer.text
    return unseal(answer.json()["sealed"], OWN, f"{credential_id}/1").reveal()


async def test_a_new_master_key_takes_over_while_secrets_are_delivered(
    start: Any, environment: dict[str, str], eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def later(self: Jobs) -> None:
        """The steps are the test's."""

    by_itself = Jobs.rewrap_secrets
    monkeypatch.setattr(Jobs, "rewrap_secrets", later)
    old, fresh = environment["BYOK_ENCRYPTION_KEYS"], Fernet.generate_key().decode()
    secrets: dict[str, str] = {}
    async with start() as alone:
        for number in range(12):
            secret = f"sk-own-{number:04}-abcd"
            secrets[(await give(alone, await alone.person(), api_key=secret))["id"]] = secret
        [old_kid] = await kids(alone)
    async with start(BYOK_ENCRYPTION_KEYS=f"{fresh},{old}") as alone:
        assert await kids(alone) == {old_kid}
        rewrapping = alone.app.state.services.keyvault.rewrapping
        admin = await alone.admin()
        steps: list[tuple[int, int]] = []

        async def has_begun() -> bool:  # who looks after the buckets at start holds the rows for a moment
            step = await rewrapping.step(SYSTEM, 5)
            steps.append((step.rewrapped, step.remaining))
            return step.rewrapped > 0

        await eventually(has_begun)
        assert steps[-1] == (5, 7)
        assert len(await kids(alone)) == 2  # stopped here, the next run goes on from here
        rotated, *delivered = await asyncio.gather(
            alone.call("POST", ROTATE, admin), *(opened(alone, credential_id) for credential_id in secrets)
        )
        assert delivered == list(secrets.values())
        assert rotated.json() | {"master_key": ""} == {"rewrapped": 7, "remaining": 0, "master_key": ""}
        assert (await alone.call("POST", ROTATE, admin)).json()["rewrapped"] == 0
        assert await kids(alone) == {rotated.json()["master_key"]} != {old_kid}
        assert (await alone.audit_actions()).count("encryption.rotated") >= 2
    monkeypatch.setattr(Jobs, "rewrap_secrets", by_itself)
    newest = Fernet.generate_key().decode()
    async with start(BYOK_ENCRYPTION_KEYS=f"{newest},{fresh}") as alone:

        async def has_followed() -> bool:
            return await kids(alone) == {kid_of(Secret(newest))}

        await eventually(has_followed)
    async with start(BYOK_ENCRYPTION_KEYS=newest) as alone:
        assert [await opened(alone, credential_id) for credential_id in secrets] == list(secrets.values())


async def test_a_secret_that_was_written_in_plain_is_encrypted_on_sight(start: Any) -> None:
    async with start() as alone:
        made = await give(alone, await alone.person(), api_key="sk-own-canary-0001-abcd")
        for plain in ("sk-proj-plain-0002-abcd", "sk.with.points-0003"):
            await alone.owner.execute(
                "UPDATE credentials SET ciphertext = $2, kid = 'unknown' WHERE id = $1", made["id"], plain
            )
            assert await alone.app.state.services.keyvault.rewrapping.encrypt_plain() == 1
            stored = await alone.owner.fetchval("SELECT ciphertext FROM credentials WHERE id = $1", made["id"])
            assert stored.startswith("f1.")
            assert plain not in stored
            assert await opened(alone, made["id"]) == plain
        await alone.owner.execute("UPDATE credentials SET ciphertext = 'sk-at-start-0004', kid = 'unknown'")
    async with start() as alone:  # a kid that nobody knows does not stop the start: the secret needs none
        assert await opened(alone, made["id"]) == "sk-at-start-0004"
        assert (await alone.audit_actions(made["id"])).count("credential.found_plain") == 3


async def test_a_damaged_secret_stops_its_batch_and_nothing_is_lost(alone: Any) -> None:
    made = await give(alone, await alone.person())
    ciphertext = await alone.owner.fetchval("SELECT ciphertext FROM credentials WHERE id = $1", made["id"])
    damaged = ciphertext[:-6] + ("AAAA==" if not ciphertext.endswith("AAAA==") else "BBBB==")
    await alone.owner.execute(
        "UPDATE credentials SET ciphertext = $2, kid = 'other' WHERE id = $1", made["id"], damaged
    )
    answer = await alone.call("POST", ROTATE, await alone.admin())
    assert answer.status_code == 503
    assert await alone.owner.fetchval("SELECT ciphertext FROM credentials WHERE id = $1", made["id"]) == damaged
