"""Starting: what must hold first, and one line when it does not."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from common.secret import Secret
from cryptography.fernet import Fernet
from keyvault.domain.encryption import Keyring, UnknownMasterKey
from keyvault.flows.provider_keys import ProviderKeys


async def started(environment: dict[str, str]) -> tuple[int | None, str]:
    """Run `python -m keyvault` until it ends by itself: its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "keyvault", env=environment, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, output.decode()


async def with_a_stored_credential(start: Any) -> None:
    async with start(OPENAI_API_KEY="sk-environment-1111"):
        pass


async def test_rows_under_an_unknown_master_key_stop_the_start_with_one_line(
    start: Any, environment: dict[str, str]
) -> None:
    await with_a_stored_credential(start)
    other = Fernet.generate_key().decode()
    status, said = await started({**environment, "BYOK_ENCRYPTION_KEYS": other})
    assert status == 2
    assert said.startswith("BYOK_ENCRYPTION_KEYS is wrong: it lacks the key")
    assert said.count("\n") == 1
    assert other not in said


async def test_the_journeys_themselves_check_the_master_keys_before_anything_is_served(vault: Any) -> None:
    services = vault.app.state.services
    await vault.call(
        "POST", "/api/v1/llm/providers/keys", await vault.admin(), {"provider_type": "groq", "api_key": "gsk-1234567"}
    )
    flows: ProviderKeys = services.keyvault.provider_keys
    await flows.check_master_keys()
    flows._keyring = Keyring([Secret(Fernet.generate_key().decode())])
    with pytest.raises(UnknownMasterKey):
        await flows.check_master_keys()


async def test_a_missing_setting_stops_the_start_with_one_line(environment: dict[str, str]) -> None:
    del environment["JWT_PRIVATE_KEY"]
    status, said = await started(environment)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("JWT_PRIVATE_KEY is not set: Ed25519")


async def test_a_database_that_is_away_or_empty_stops_the_start_with_one_line(environment: dict[str, str]) -> None:
    away = {**environment, "KEYVAULT_DATABASE_URL": "postgresql://keyvault:x@127.0.0.1:9/none"}
    status, said = await started(away)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("KEYVAULT_DATABASE_URL")


async def test_an_older_master_key_that_is_still_given_opens_its_rows(start: Any, environment: dict[str, str]) -> None:
    await with_a_stored_credential(start)
    both = f"{Fernet.generate_key().decode()},{environment['BYOK_ENCRYPTION_KEYS']}"
    async with start(OPENAI_API_KEY="sk-environment-1111", BYOK_ENCRYPTION_KEYS=both) as vault:
        row = await vault.owner.fetchrow("SELECT version, status FROM credentials")
        assert tuple(row) == (1, "active")  # it was recognised, so it was opened
