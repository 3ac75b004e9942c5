"""Refusing a key at every gateway before the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


async def marked(vault: Any, key_id: str) -> bool:
    return bool(await vault.redis.exists(f"revoked:{key_id}"))


async def test_a_revoked_key_is_marked_in_redis_and_gone_from_the_bucket_before_the_answer(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    assert made["id"] in await vault.bucket("keys")
    answer = await vault.call("DELETE", f"/api/v1/keys/{made['id']}", user)
    assert await marked(vault, made["id"])
    assert answer.status_code == 204
    assert "keys=" in answer.headers["x-tollgate-revision"]
    assert made["id"] not in await vault.bucket("keys")
    assert (await vault.call("GET", f"/api/v1/keys/{made['id']}", user)).status_code == 404
    assert (await vault.call("GET", "/api/v1/keys", user)).json()["items"] == []
    for method, path in (("PATCH", ""), ("POST", "/rotate")):
        assert (await vault.call(method, f"/api/v1/keys/{made['id']}{path}", user, {})).status_code == 404


async def test_the_mark_goes_by_itself_long_after_every_mirror_knows(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    await vault.call("DELETE", f"/api/v1/keys/{made['id']}", user)
    assert 29 * 86_400 < await vault.redis.ttl(f"revoked:{made['id']}") <= 30 * 86_400


async def test_revoking_twice_changes_nothing_more(vault: Any) -> None:
    user, other = await vault.person(), await vault.person()
    made = await vault.make_key(user)
    path = f"/api/v1/keys/{made['id']}"
    assert [(await vault.call("DELETE", path, user)).status_code for _ in range(2)] == [204, 204]
    assert (await vault.call("DELETE", path, other)).status_code == 404
    assert (await vault.audit_actions(made["id"])).count("key.revoked") == 1


async def test_switching_off_refuses_at_once_and_switching_on_lets_in_again(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    path = f"/api/v1/keys/{made['id']}"
    assert (await vault.call("PATCH", path, user, {"enabled": False})).json()["enabled"] is False
    assert await marked(vault, made["id"])
    assert b'"enabled":false' in (await vault.bucket("keys"))[made["id"]]
    assert (await vault.call("PATCH", path, user, {"enabled": True})).json()["enabled"] is True
    assert not await marked(vault, made["id"])
    assert b'"enabled":true' in (await vault.bucket("keys"))[made["id"]]


async def test_a_user_cannot_switch_on_what_an_admin_switched_off(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person()
    made = await vault.make_key(user)
    path = f"/api/v1/keys/{made['id']}"
    await vault.call("PATCH", path, admin, {"enabled": False})
    refused = await vault.call("PATCH", path, user, {"enabled": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert await marked(vault, made["id"])
    assert (await vault.call("PATCH", path, admin, {"enabled": True})).status_code == 200
    assert not await marked(vault, made["id"])


async def test_a_late_mark_cannot_overtake_a_later_change(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = await vault.admin()
    made = await vault.make_key(admin)
    path = f"/api/v1/keys/{made['id']}"
    marks = vault.app.state.services.keyvault.refusals._marks
    put = marks.put

    async def put_late(key_id: str) -> None:
        await asyncio.sleep(0.5)
        await put(key_id)

    monkeypatch.setattr(marks, "put", put_late)
    off = asyncio.create_task(vault.call("PATCH", path, admin, {"enabled": False}))
    await asyncio.sleep(0.25)
    on = await vault.call("PATCH", path, admin, {"enabled": True})
    assert ((await off).status_code, on.status_code, on.json()["enabled"]) == (200, 200, True)
    assert not await marked(vault, made["id"])


async def test_switching_on_and_off_side_by_side_leaves_redis_saying_what_the_row_says(vault: Any) -> None:
    admin = await vault.admin()
    made = await vault.make_key(admin)
    path = f"/api/v1/keys/{made['id']}"
    changes = [vault.call("PATCH", path, admin, {"enabled": number % 2 == 0}) for number in range(20)]
    answers = await asyncio.gather(*changes)
    assert {answer.status_code for answer in answers} == {200}
    shown = (await vault.call("GET", path, admin)).json()["enabled"]
    assert await marked(vault, made["id"]) == (not shown)
    assert (b'"enabled":true' in (await vault.bucket("keys"))[made["id"]]) == shown


async def test_a_disabled_owners_keys_are_refused_at_once_and_let_in_again_with_the_owner(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person()
    one, off = await vault.make_key(user), await vault.make_key(user)
    await vault.call("PATCH", f"/api/v1/keys/{off['id']}", user, {"enabled": False})
    assert (await vault.call("PATCH", f"/api/v1/users/{user.id}", admin, {"enabled": False})).status_code == 200
    assert await marked(vault, one["id"])
    assert b'"enabled":false' in (await vault.bucket("keys"))[one["id"]]
    assert (await vault.call("PATCH", f"/api/v1/users/{user.id}", admin, {"enabled": True})).status_code == 200
    assert not await marked(vault, one["id"])
    assert await marked(vault, off["id"])
    assert b'"enabled":true' in (await vault.bucket("keys"))[one["id"]]
