"""The buckets say what the tables say: also after they were lost, and no longer than needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from common.http.sessions import AUDIENCE, ISSUER
from keyvault.domain.tokens import TokenSigner, read_private_key
from keyvault.jobs import Jobs, held_by

BUCKETS = ("keys", "credentials", "sessions")


def jobs_of(vault: Any) -> Jobs:
    services = vault.app.state.services
    return Jobs(services.keyvault, vault.bus, services.metrics)


async def filled(vault: Any) -> Any:
    """Something in every bucket; the user."""
    admin, user = await vault.admin(), await vault.person()
    await vault.make_key(user, monthly_budget="10.50", allowed_models=["gpt-4"])
    off, gone = await vault.make_key(user), await vault.make_key(user)
    await vault.call("POST", f"/api/v1/keys/{off['id']}/rotate", user)
    await vault.call("PATCH", f"/api/v1/keys/{off['id']}", user, {"enabled": False})
    await vault.call("DELETE", f"/api/v1/keys/{gone['id']}", user)
    body = {"provider_type": "openai", "api_key": "sk-proj-canary-1234"}
    await vault.call("POST", "/api/v1/llm/providers/keys", admin, body)
    await vault.call("POST", "/api/auth/logout", user)
    await vault.call("PATCH", f"/api/v1/users/{user.id}", admin, {"tier": "starter"})
    return user


async def state(vault: Any) -> dict[str, dict[str, bytes]]:
    return {name: await vault.bucket(name) for name in BUCKETS}


async def test_buckets_that_were_emptied_are_whole_again_after_a_start(start: Any, eventually: Any) -> None:
    async with start() as vault:
        await filled(vault)
        before = await state(vault)
        assert {name: len(held) for name, held in before.items()} == {"keys": 2, "credentials": 1, "sessions": 3}
        for name in BUCKETS:
            store = await vault.bus.jetstream.key_value(name)
            for key in before[name]:
                await store.purge(key)
            await store.put("stray", b"{}")
    async with start() as vault:

        async def is_whole() -> bool:
            return bool(await state(vault) == before)

        await eventually(is_whole)


async def test_whole_buckets_are_not_written_again(vault: Any) -> None:
    await filled(vault)
    before = [(await vault.bus.jetstream.stream_info(f"KV_{name}")).state.last_seq for name in BUCKETS]
    await jobs_of(vault).restore_buckets()
    assert await vault.owner.fetchval("SELECT count(*) FROM outbox") == 0
    after = [(await vault.bus.jetstream.stream_info(f"KV_{name}")).state.last_seq for name in BUCKETS]
    assert after == before


async def test_a_changed_snapshot_is_put_right_and_a_forged_signing_key_removed(vault: Any, eventually: Any) -> None:
    await filled(vault)
    before = await state(vault)
    forger = TokenSigner(read_private_key("A" * 43), ISSUER, AUDIENCE)
    sessions = await vault.bus.jetstream.key_value("sessions")
    await sessions.put(f"key.{forger.kid}", forger.snapshot().model_dump_json().encode())
    keys = await vault.bus.jetstream.key_value("keys")
    for key in before["keys"]:
        await keys.put(key, before["keys"][key].replace(b'"user_id"', b'"nobody"'))
    await jobs_of(vault).restore_buckets()

    async def is_right() -> bool:
        return bool(await state(vault) == before)

    await eventually(is_right)


async def test_held_by_reads_values_and_not_what_was_deleted(vault: Any) -> None:
    store = await vault.bus.jetstream.key_value("budgets")
    assert await held_by(vault.bus, "budgets") == {}
    await store.put("one", b"1")
    await store.put("two", b"2")
    await store.delete("one")
    assert (await held_by(vault.bus, "budgets")).keys() == {"two"}


async def test_revocations_are_forgotten_once_no_token_needs_them(vault: Any, eventually: Any) -> None:
    user = await filled(vault)
    token_id = jwt.decode(user.headers["authorization"][7:], options={"verify_signature": False})["jti"]
    names = {f"revoked.{token_id}", f"user.{user.id}"}
    assert names < (await vault.bucket("sessions")).keys()
    keeping = vault.app.state.services.keyvault.sessions
    assert await keeping.forget_expired() == 0
    old = datetime.now(UTC) - timedelta(hours=14)
    await vault.owner.execute("UPDATE revoked_tokens SET expires_at = $1", old)
    await vault.owner.execute("UPDATE users SET sessions_not_before = $1 WHERE id = $2", old, user.id)
    await vault.owner.execute(
        "INSERT INTO signing_keys (kid, public_key, created_at, retired_at) VALUES ('old', 'x', $1, $1)", old
    )
    assert await keeping.forget_expired() == 3

    async def are_gone() -> bool:
        return not names & (await vault.bucket("sessions")).keys()

    await eventually(are_gone)
    assert await vault.owner.fetchval("SELECT count(*) FROM signing_keys") == 1


async def test_after_a_change_of_the_signing_key_old_tokens_count_until_they_run_out(start: Any) -> None:
    async with start() as vault:
        user = await vault.person()
        kid = next(iter(await vault.bucket("sessions")))
    async with start(JWT_PRIVATE_KEY="B" * 42 + "A") as vault:
        assert len(await vault.bucket("sessions")) == 2
        assert kid in await vault.bucket("sessions")
        assert (await vault.call("GET", "/api/auth/me", user)).status_code == 200
        assert (await vault.call("GET", "/api/auth/me", await vault.person())).status_code == 200
        retired = "SELECT retired_at FROM signing_keys WHERE kid = $1"
        assert await vault.owner.fetchval(retired, kid.removeprefix("key.")) is not None
