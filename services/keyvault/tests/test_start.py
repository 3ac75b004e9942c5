"""Starting: what must hold first, and one line when it does not."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from common.secret import Secret
from common.servers.ports import free_port
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
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, output.decode()


async def log_in_over(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/api/auth/login", json={"email": "nobody@example.com", "password": "x"})


async def log_in(alone: Any, email: str, password: str) -> Any:
    return await alone.call("POST", "/api/auth/login", None, {"email": email, "password": password})


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


async def test_the_journeys_themselves_check_the_master_keys_before_anything_is_served(alone: Any) -> None:
    services = alone.app.state.services
    await alone.call(
        "POST", "/api/v1/llm/providers/keys", await alone.admin(), {"provider_type": "groq", "api_key": "gsk-1234567"}
    )
    flows: ProviderKeys = services.keyvault.provider_keys
    await flows.check_master_keys()
    flows._keyring = Keyring([Secret(Fernet.generate_key().decode())])
    with pytest.raises(UnknownMasterKey):
        await flows.check_master_keys()


async def test_the_process_serves_until_it_is_told_to_stop(environment: dict[str, str], eventually: Any) -> None:
    environment["KEYVAULT_HTTP_PORT"] = str(free_port())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "keyvault",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{environment['KEYVAULT_HTTP_PORT']}") as client:

            async def is_ready() -> bool:
                with suppress(httpx2.TransportError):
                    return (await client.get("/readyz")).status_code == 200
                return False

            await eventually(is_ready, 30.0)
            assert (await log_in_over(client)).status_code == 401
        process.terminate()
        output, _ = await asyncio.wait_for(process.communicate(), 15)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode in (0, -15)
    assert "Traceback" not in output.decode().replace("\\n", "\n"), output.decode().replace("\\n", "\n")
    for name in ("JWT_PRIVATE_KEY", "BYOK_ENCRYPTION_KEYS", "GATEWAY_SERVICE_TOKEN"):
        assert environment[name].encode() not in output


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
    async with start(OPENAI_API_KEY="sk-environment-1111", BYOK_ENCRYPTION_KEYS=both) as alone:
        row = await alone.owner.fetchrow("SELECT version, status FROM credentials")
        assert tuple(row) == (1, "active")  # it was recognised, so it was opened


async def test_where_sign_up_is_closed_nobody_signs_up(start: Any) -> None:
    async with start(SIGNUP="closed") as alone:
        body = {"email": "me@example.com", "password": "a long password"}
        answer = await alone.call("POST", "/api/auth/signup", None, body)
        assert (answer.status_code, answer.json()["detail"]) == (403, "sign-up is closed")


async def test_the_first_admin_is_made_at_start_and_never_overwritten(start: Any) -> None:
    first = {"TOLLGATE_ADMIN_EMAIL": "Root@example.com", "TOLLGATE_ADMIN_PASSWORD": "first password"}
    async with start(**first) as alone:
        token = (await log_in(alone, "root@example.com", "first password")).json()["access_token"]
        shown = (await alone.client.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})).json()
        assert (shown["role"], shown["tier"]) == ("admin", "enterprise")
    async with start(**{**first, "TOLLGATE_ADMIN_PASSWORD": "second password"}) as alone:
        assert (await log_in(alone, "root@example.com", "first password")).status_code == 200
        assert (await log_in(alone, "root@example.com", "second password")).status_code == 401
        assert (await alone.audit_actions()).count("user.created") == 1
