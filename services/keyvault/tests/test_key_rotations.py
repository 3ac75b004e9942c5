"""Rotation schedules of virtual keys over HTTP: due, taken, overdue."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from common.contracts.changes import KeyReminded
from common.contracts.envelope import Envelope
from common.contracts.snapshots import KeySnapshot


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def living(vault: Any, key_id: str, eventually: Any, count: int) -> dict[str, datetime | None]:
    """The secrets that gateways take for a key, with their ends."""

    async def told() -> dict[str, datetime | None] | None:
        body = (await (await vault.bus.jetstream.key_value("keys")).get(key_id)).value or b""
        found = {each.sha256: each.expires_at for each in KeySnapshot.model_validate_json(body).secrets}
        return found if len(found) == count else None

    secrets: dict[str, datetime | None] = await eventually(told)
    return secrets


async def reminders(vault: Any, key_id: str) -> list[KeyReminded]:
    bodies = [body for subject, body in await vault.events("KEYS") if subject == "keys.reminded"]
    told = [Envelope[KeyReminded].model_validate_json(body).data for body in bodies]
    return [each for each in told if each.api_key_id == key_id]


async def fall_due(vault: Any, key_id: str, **past: timedelta) -> int:
    """Let time pass for one key's schedule, and the job run."""
    for column, by in past.items():
        await vault.owner.execute(
            f"UPDATE key_rotations SET {column} = {column} - $2::interval WHERE key_id = $1", key_id, by
        )
    count: int = await vault.app.state.services.keyvault.key_rotations.run_due()
    return count


async def scheduled(vault: Any, by: Any, **terms: Any) -> tuple[dict[str, Any], str]:
    made = await vault.make_key(by)
    path = f"/api/v1/keys/{made['id']}"
    answer = await vault.call("PUT", f"{path}/rotation", by, {"every_days": 30, **terms})
    assert answer.status_code == 200, answer.text
    return made, path


async def test_a_schedule_is_set_shown_and_ended(vault: Any) -> None:
    user = await vault.person()
    made, path = await scheduled(vault, user, grace_seconds=3600)
    shown = (await vault.call("GET", f"{path}/rotation", user)).json()
    assert (shown["every_days"], shown["grace_seconds"], shown["due_since"]) == (30, 3600, None)
    left = datetime.fromisoformat(shown["next_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert await fall_due(vault, made["id"]) == 0
    assert (await vault.call("DELETE", f"{path}/rotation", user)).status_code == 204
    assert (await vault.call("GET", f"{path}/rotation", user)).status_code == 404
    assert (await vault.audit_actions(made["id"]))[1:] == ["key.rotation_scheduled", "key.rotation_unscheduled"]


async def test_a_due_key_has_two_living_secrets_once_its_owner_has_taken_the_next(vault: Any, eventually: Any) -> None:
    user = await vault.person()
    made, path = await scheduled(vault, user)
    assert await fall_due(vault, made["id"], next_at=timedelta(days=31)) == 1
    assert await fall_due(vault, made["id"]) == 0, "it falls due once"
    shown = (await vault.call("GET", f"{path}/rotation", user)).json()
    end = datetime.fromisoformat(shown["secret_ends_at"])
    assert timedelta(days=6) < end - datetime.now(UTC) <= timedelta(days=7)

    async def is_ending() -> bool:
        return await living(vault, made["id"], eventually, 1) == {sha256(made["key"]): end}

    await eventually(is_ending)
    [told] = await reminders(vault, made["id"])
    assert (told.reason, told.user_id, told.secret_ends_at) == ("rotation_due", user.id, end)

    rotated = (await vault.call("POST", f"{path}/rotate", user)).json()
    assert datetime.fromisoformat(rotated["previous_key_expires_at"]) == end
    both = await living(vault, made["id"], eventually, 2)
    assert both == {sha256(made["key"]): end, sha256(rotated["key"]): None}
    again = (await vault.call("GET", f"{path}/rotation", user)).json()
    assert (again["due_since"], again["secret_ends_at"]) == (None, None)
    assert datetime.fromisoformat(again["next_at"]) > datetime.now(UTC) + timedelta(days=29)
    assert "key.rotation_due" in await vault.audit_actions(made["id"])


async def test_a_secret_that_nobody_replaces_ends_all_the_same(vault: Any, eventually: Any) -> None:
    user = await vault.person()
    made, path = await scheduled(vault, user, grace_seconds=0)
    await fall_due(vault, made["id"], next_at=timedelta(days=31))
    shown = (await vault.call("GET", path, user)).json()
    assert (shown["last4"], shown["enabled"]) == ("", True)
    rotated = (await vault.call("POST", f"{path}/rotate", user)).json()
    assert await living(vault, made["id"], eventually, 1) == {sha256(rotated["key"]): None}


async def test_an_owner_who_does_not_come_is_reminded_once_more_halfway(vault: Any, eventually: Any) -> None:
    user = await vault.person()
    made, _ = await scheduled(vault, user)
    await fall_due(vault, made["id"], next_at=timedelta(days=31))
    for _ in range(2):
        await fall_due(vault, made["id"], due_since=timedelta(days=2))
    await fall_due(vault, made["id"])

    async def said() -> list[str]:
        return [each.reason for each in await reminders(vault, made["id"])]

    async def has_both() -> bool:
        return await said() == ["rotation_due", "secret_ends"]

    await eventually(has_both)


async def test_a_revoked_keys_schedule_falls_due_no_more(vault: Any) -> None:
    user = await vault.person()
    made, path = await scheduled(vault, user)
    await vault.call("DELETE", path, user)
    assert await fall_due(vault, made["id"], next_at=timedelta(days=31)) == 0
    assert (await vault.call("PUT", f"{path}/rotation", user, {"every_days": 1})).status_code == 404


async def test_what_an_admin_has_scheduled_only_admins_change(vault: Any) -> None:
    user, admin, other = await vault.person(), await vault.admin(), await vault.person()
    _, path = await scheduled(vault, user)
    assert (await vault.call("PUT", f"{path}/rotation", admin, {"every_days": 7})).status_code == 200
    assert (await vault.call("PUT", f"{path}/rotation", user, {"every_days": 300})).status_code == 403
    assert (await vault.call("DELETE", f"{path}/rotation", user)).status_code == 403
    for method, body in (("GET", None), ("PUT", {"every_days": 7}), ("DELETE", None)):
        assert (await vault.call(method, f"{path}/rotation", other, body)).status_code == 404


@pytest.mark.parametrize(
    "terms", [{}, {"every_days": 0}, {"every_days": 4_000}, {"every_days": 1, "grace_seconds": -1}]
)
async def test_a_schedule_has_bounds(vault: Any, terms: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    assert (await vault.call("PUT", f"/api/v1/keys/{made['id']}/rotation", user, terms)).status_code == 422
