"""Whether users' own credentials work: asked of the provider, and heard from the calls that use them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from common.contracts.changes import CredentialInvalid
from common.contracts.envelope import Envelope
from keyvault.store import users

from .test_own_credentials_api import MINE, give, shown
from .test_provider_keys_started import TestedProvider
from .test_uses import publish, used


def call_with(credential_id: str, at: datetime, *, is_refused: bool, version_is_own: str = "byok") -> Any:
    """The event of a call by a user's own credential."""
    event = used(None, credential_id, at)
    attempt = {
        "provider": "openai",
        "model": "gpt-4",
        "status": "failed" if is_refused else "completed",
        "http_status": 401 if is_refused else 200,
        "error": {"reason": "provider_auth_failed", "message": "refused"} if is_refused else None,
        "latency_ms": 1,
        "usage": None,
        "cost_usd": "0",
        "credential": version_is_own,
        "credential_id": credential_id,
    }
    told = event.model_dump(mode="json")
    told["data"]["attempts"] = [attempt]
    return type(event).model_validate(told)


async def invalid_events(alone: Any) -> list[CredentialInvalid]:
    return [
        Envelope[CredentialInvalid].model_validate_json(body).data
        for subject, body in await alone.events("KEYS")
        if subject == "credentials.invalid"
    ]


async def test_a_refused_credential_is_marked_once_and_its_owner_told_once(alone: Any, eventually: Any) -> None:
    user = await alone.person()
    made = await give(alone, user, name="my own")
    now = datetime.now(UTC)
    refused = call_with(made["id"], now + timedelta(seconds=1), is_refused=True)
    await publish(alone, refused, refused, call_with(made["id"], now + timedelta(seconds=2), is_refused=True))

    async def is_marked() -> bool:
        return (await shown(alone, user))[made["id"]]["status"] == "invalid" and bool(await invalid_events(alone))

    await eventually(is_marked)
    [told] = await invalid_events(alone)
    assert (told.credential_id, told.owner_user_id, told.name, told.provider_type) == (
        made["id"], user.id, "my own", "openai"
    )  # fmt: skip
    assert (await shown(alone, user))[made["id"]]["is_active"] is True
    assert "credential.refused_by_provider" in await alone.audit_actions(made["id"])

    await publish(alone, call_with(made["id"], now + timedelta(seconds=3), is_refused=False))

    async def works_again() -> bool:
        one = (await shown(alone, user))[made["id"]]
        return one["status"] == "valid" and one["last_validated_at"] is not None

    await eventually(works_again)


async def test_what_calls_tell_does_not_wait_for_who_changes_the_account(alone: Any, eventually: Any) -> None:
    """Else whoever changes one of its credentials, which waits for what calls tell, would wait for ever."""
    user = await alone.person()
    made = await give(alone, user)
    refused = call_with(made["id"], datetime.now(UTC) + timedelta(seconds=1), is_refused=True)

    async def is_invalid() -> bool:
        return (await shown(alone, user))[made["id"]]["status"] == "invalid"

    changing = await asyncpg.connect(alone.environment["KEYVAULT_DATABASE_URL"])
    try:
        async with changing.transaction():
            await users.lock(changing, user.id)
            await publish(alone, refused)
            await eventually(is_invalid)
    finally:
        await changing.close()


async def test_the_first_call_that_works_validates_and_later_ones_change_nothing(alone: Any, eventually: Any) -> None:
    user = await alone.person()
    made = await give(alone, user)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    await publish(alone, call_with(made["id"], at, is_refused=False))

    async def is_valid() -> bool:
        return (await shown(alone, user))[made["id"]]["status"] == "valid"

    await eventually(is_valid)
    first = (await shown(alone, user))[made["id"]]["last_validated_at"]
    assert datetime.fromisoformat(first) == at
    await publish(alone, call_with(made["id"], at + timedelta(seconds=9), is_refused=False))

    async def is_heard() -> bool:
        used_at = await alone.owner.fetchval("SELECT last_used_at FROM credentials WHERE id = $1", made["id"])
        return bool(used_at == at + timedelta(seconds=9))

    await eventually(is_heard)
    assert (await shown(alone, user))[made["id"]]["last_validated_at"] == first


async def test_what_calls_told_of_an_earlier_secret_or_of_the_systems_does_not_count(
    alone: Any, eventually: Any
) -> None:
    admin, user = await alone.admin(), await alone.person()
    before = datetime.now(UTC) - timedelta(seconds=5)
    made = await give(alone, user)
    await alone.call("POST", "/api/v1/llm/providers/keys", admin, {"provider_type": "openai", "api_key": "sk-system-1"})
    system_id = await alone.owner.fetchval("SELECT id FROM credentials WHERE owner_user_id IS NULL")
    after = datetime.now(UTC) + timedelta(seconds=1)
    await publish(
        alone,
        call_with(made["id"], before, is_refused=True),
        call_with(system_id, after, is_refused=True, version_is_own="system"),
        call_with(system_id, after, is_refused=True),
    )

    async def is_heard() -> bool:
        return bool(await alone.owner.fetchval("SELECT last_used_at FROM credentials WHERE id = $1", system_id))

    await eventually(is_heard)
    assert (await shown(alone, user))[made["id"]]["status"] == "unvalidated"
    assert await invalid_events(alone) == []


async def test_trying_a_key_calls_the_provider_and_keeps_nothing(start: Any, serve: Any) -> None:
    provider = TestedProvider()
    async with serve(provider) as url, start(SIMULATOR_URL="http://127.0.0.1:9") as alone:
        user = await alone.person()
        body = {"provider": "openai", "api_key": "sk-proj-canary-1234", "base_url": url}
        answer = (await alone.call("POST", f"{MINE}/validate", user, body)).json()
        assert answer.keys() == {"valid", "provider", "message", "models_found", "latency_ms"}
        assert (answer["valid"], answer["provider"]) == (True, "openai")
        provider.answer = (401, b'{"error": {"message": "Incorrect API key: sk-proj-canary-1234"}}', [])
        answer = (await alone.call("POST", f"{MINE}/validate", user, body)).json()
        assert answer["valid"] is False
        assert "canary" not in str(answer)
        assert await shown(alone, user) == {}
        statuses = [(await alone.call("POST", f"{MINE}/validate", user, body)).status_code for _ in range(9)]
        assert statuses == [200] * 8 + [429]


async def test_validating_a_kept_one_keeps_the_verdict(start: Any, serve: Any) -> None:
    provider = TestedProvider()
    async with serve(provider) as url, start(SIMULATOR_URL="http://127.0.0.1:9") as alone:
        user = await alone.person()
        made = await give(alone, user, api_key="sk-proj-canary-1234", base_url=url)
        path = f"{MINE}/{made['id']}/validate"
        assert (await alone.call("POST", path, user)).json()["valid"] is True
        one = (await shown(alone, user))[made["id"]]
        assert one["status"] == "valid"
        assert one["last_validated_at"] is not None
        provider.answer = (503, b"", [])
        assert (await alone.call("POST", path, user)).json()["valid"] is False
        assert (await shown(alone, user))[made["id"]] == one
        provider.answer = (401, b"", [])
        assert (await alone.call("POST", path, user)).json()["valid"] is False
        assert (await shown(alone, user))[made["id"]] == one | {"status": "invalid"}
