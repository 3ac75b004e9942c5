"""A key works from the first call after it was made, and not at all after its revocation was answered."""

from __future__ import annotations

import asyncio

from machine import Key, Machine


async def test_a_new_key_works_at_once_and_a_revoked_one_never_again(machine: Machine) -> None:
    for _ in range(5):
        key = await machine.make_key()
        assert (await machine.chat(key, max_tokens=1)).status_code == 200
        assert (await machine.admin.delete(f"/api/v1/keys/{key.id}")).status_code in (200, 204)
        refused = await asyncio.gather(*[machine.chat(key, max_tokens=1) for _ in range(5)])
        assert {answer.status_code for answer in refused} == {401}
        assert refused[0].json()["error"]["message"] == "invalid API key"


async def test_a_rotated_key_has_two_secrets_for_a_while(machine: Machine) -> None:
    key = await machine.make_key()
    rotated = await machine.admin.post(f"/api/v1/keys/{key.id}/rotate", json={"grace_seconds": 60})
    assert rotated.status_code in (200, 201), rotated.text
    fresh = Key(key.id, rotated.json()["key"])
    for one in (key, fresh):
        assert (await machine.chat(one, max_tokens=1)).status_code == 200
    assert (await machine.admin.delete(f"/api/v1/keys/{key.id}")).status_code in (200, 204)
    for one in (key, fresh):
        assert (await machine.chat(one, max_tokens=1)).status_code == 401


async def test_a_changed_limit_holds_for_the_next_call(machine: Machine) -> None:
    key = await machine.make_key(allowed_models=["gpt-4"])
    assert (await machine.chat(key, max_tokens=1)).status_code == 200
    changed = await machine.admin.patch(f"/api/v1/keys/{key.id}", json={"allowed_models": ["gpt-4o"]})
    assert changed.status_code == 200, changed.text
    assert (await machine.chat(key, max_tokens=1)).status_code == 403
