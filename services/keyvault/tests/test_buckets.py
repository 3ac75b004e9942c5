"""The buckets say what the tables say: also after they were lost, and no longer than needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from common.http.sessions import AUDIENCE, ISSUER
from keyvault.domain.tokens import TokenSigner, read_private_key
from keyvault.jobs import Jobs

BUCKETS = ("keys", "credentials", "sessions")


def jobs_of(alone: Any) -> Jobs:
    services = alone.app.state.services
    return Jobs(services.keyvault, alone.bus, services.metrics)


async def filled(alone: Any) -> Any:
    """Something in every bucket; the user."""
    admin, user = await alone.admin(), await alone.person()
    await alone.make_key(user, monthly_budget="10.50", allowed_models=["gpt-4"])
    off, gone = await alone.make_key(user), await alone.make_key(user)
    await alone.call("POST", f"/api/v1/keys/{off['id']}/rotate", user)
    await alone.call("PATCH", f"/api/v1/keys/{off['id']}", user, {"enabled": False})
    await alone.call("DELETE", f"/api/v1/keys/{gone['id']}", user)
    body = {"provider_type": "openai", "api_key": "sk-proj-canary-1234"}
    await alone.call("POST", "/api/v1/llm/providers/keys", admin, body)
    await alone.call("POST", "/api/auth/logout", user)
    await alone.call("PATCH", f"/api/v1/users/{user.id}", admin, {"tier": "starter", "monthly_budget": 5})
    for name in ("kept", "removed"):
        made = await alone.call("POST", "/api/v1/teams", admin, {"name": name, "rate_limit": 3})
    await alone.call("DELETE", f"/api/v1/teams/{made.json()['id']}", admin)
    return user


async def state(alone: Any) -> dict[str, dict[str, bytes]]:
    return {name: await alone.bucket(name) for name in BUCKETS}


async def test_buckets_that_were_emptied_are_whole_again_after_a_start(start: Any, eventually: Any) -> None:
    async with start() as alone:
        await filled(alone)
        before = await state(alone)
        assert {name: len(held) for name, held in before.items()} == {"keys": 4, "credentials": 1, "sessions": 3}
        for name in BUCKETS:
            store = await alone.bus.jetstream.key_value(name)
            for key in before[name]:
                await store.purge(key)
            for stray in ("stray", "user.stray", "team.stray"):
                await store.put(stray, b"{}")
    async with start() as alone:

        async def is_whole() -> bool:
            return bool(await state(alone) == before)

        await eventually(is_whole)


async def test_whole_buckets_are_not_written_again(alone: Any, eventually: Any) -> None:
    await filled(alone)

    async def is_told() -> bool:
        return bool(await alone.owner.fetchval("SELECT count(*) FROM outbox") == 0)

    await eventually(is_told)
    before = [(await alone.bus.jetstream.stream_info(f"KV_{name}")).state.last_seq for name in BUCKETS]
    await jobs_of(alone).restore_buckets()
    assert await is_told()
    after = [(await alone.bus.jetstream.stream_info(f"KV_{name}")).state.last_seq for name in BUCKETS]
    assert after == before


async def test_a_changed_snapshot_is_put_right_and_a_forged_signing_key_removed(alone: Any, eventually: Any) -> None:
    await filled(alone)
    before = await state(alone)
    forger = TokenSigner(read_private_key("A" * 43), ISSUER, AUDIENCE)
    sessions = await alone.bus.jetstream.key_value("sessions")
    await sessions.put(f"key.{forger.kid}", forger.snapshot().model_dump_json().encode())
    keys = await alone.bus.jetstream.key_value("keys")
    for key in before["keys"]:
        await keys.put(key, before["keys"][key].replace(b'"user_id"', b'"nobody"'))
    await jobs_of(alone).restore_buckets()

    async def is_right() -> bool:
        return bool(await state(alone) == before)

    await eventually(is_right)


async def test_revocations_are_forgotten_once_no_token_needs_them(alone: Any, eventually: Any) -> None:
    user = await filled(alone)
    token_id = jwt.decode(user.headers["authorization"][7:], options={"verify_signature": False})["jti"]
    names = {f"revoked.{token_id}", f"user.{user.id}"}
    assert names < (await alone.bucket("sessions")).keys()
    keeping = alone.app.state.services.keyvault.sessions
    assert await keeping.forget_expired() == 0
    old = datetime.now(UTC) - timedelta(hours=14)
    await alone.owner.execute("UPDATE revoked_tokens SET expires_at = $1", old)
    await alone.owner.execute("UPDATE users SET sessions_not_before = $1 WHERE id = $2", old, user.id)
    await alone.owner.execute(
        "INSERT INTO signing_keys (kid, public_key, created_at, retired_at) VALUES ('old', 'x', $1, $1)", old
    )
    assert await keeping.forget_expired() == 3

    async def are_gone() -> bool:
        return not names & (await alone.bucket("sessions")).keys()

    await eventually(are_gone)
    assert await alone.owner.fetchval("SELECT count(*) FROM signing_keys") == 1


async def test_after_a_change_of_the_signing_key_old_tokens_count_until_they_run_out(start: Any) -> None:
    async with start() as alone:
        user = await alone.person()
        kid = next(iter(await alone.bucket("sessions")))
    async with start(JWT_PRIVATE_KEY="B" * 42 + "A") as alone:
        assert len(await alone.bucket("sessions")) == 2
        assert kid in await alone.bucket("sessions")
        assert (await alone.call("GET", "/api/auth/me", user)).status_code == 200
        assert (await alone.call("GET", "/api/auth/me", await alone.person())).status_code == 200
        retired = "SELECT retired_at FROM signing_keys WHERE kid = $1"
        assert await alone.owner.fetchval(retired, kid.removeprefix("key.")) is not None
