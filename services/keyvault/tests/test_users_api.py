"""Users as admins see and change them."""

from __future__ import annotations

from typing import Any

from common.contracts.snapshots import KeySnapshot, UserSnapshot
from common.money import Money


async def test_admins_list_users_in_pages_without_their_hashes(vault: Any) -> None:
    admin = await vault.admin()
    people = [await vault.person() for _ in range(3)]
    first = await vault.call("GET", "/api/v1/users?limit=2", admin)
    following = await vault.call("GET", f"/api/v1/users?limit=2&cursor={first.json()['next_cursor']}", admin)
    seen = [item["id"] for page in (first, following) for item in page.json()["items"]]
    assert seen == sorted(
        (person.id for person in [admin, *people]), reverse=True
    )  # ids of one instant are in any order
    assert "argon2" not in first.text
    assert first.json()["items"][0].keys() == {
        "id", "email", "name", "role", "tier", "enabled", "created_at", "updated_at",
        "rate_limit", "token_limit", "max_concurrency", "monthly_budget",
    }  # fmt: skip
    one = await vault.call("GET", f"/api/v1/users/{people[0].id}", admin)
    assert (one.status_code, one.json()["email"]) == (200, people[0].email)
    assert (await vault.call("GET", "/api/v1/users/nobody", admin)).status_code == 404


async def test_a_wrong_change_is_refused(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person()
    for body in ({"role": "king"}, {"tier": None}, {"enabled": "maybe"}, {"email": "x@example.com"},
                 {"rate_limit": 0}, {"monthly_budget": "-1"}, {"monthly_budget": "0.0000000001"}):  # fmt: skip
        assert (await vault.call("PATCH", f"/api/v1/users/{user.id}", admin, body)).status_code == 422
    assert (await vault.call("PATCH", "/api/v1/users/nobody", admin, {"tier": "trial"})).status_code == 404
    assert (await vault.call("PATCH", "/api/v1/users/nul%00", admin, {"tier": "trial"})).status_code == 422


async def test_a_change_that_changes_nothing_ends_no_session(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person(tier="starter")
    answer = await vault.call("PATCH", f"/api/v1/users/{user.id}", admin, {"tier": "starter", "enabled": True})
    assert answer.status_code == 200
    assert f"user.{user.id}" not in await vault.bucket("sessions")
    assert await vault.audit_actions(user.id) == []


async def test_limits_of_a_user_reach_the_gateways_and_end_no_session(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person(tier="starter")
    path = f"/api/v1/users/{user.id}"
    limits = {"rate_limit": 60, "token_limit": 90_000, "max_concurrency": 4, "monthly_budget": 12.5}
    answer = await vault.call("PATCH", path, admin, limits)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in limits} == limits
    assert "keys=" in answer.headers["x-tollgate-revision"]
    told = UserSnapshot.model_validate_json((await vault.bucket("keys"))[f"user.{user.id}"])
    assert told == UserSnapshot(
        id=user.id,
        tier="starter",
        rate_limit=60,
        token_limit=90_000,
        max_concurrency=4,
        monthly_budget=Money.of("12.5"),
    )
    assert f"user.{user.id}" not in await vault.bucket("sessions")
    assert (await vault.call("GET", "/api/auth/me", user)).status_code == 200


async def test_a_user_without_limits_is_not_told_of(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person()
    path = f"/api/v1/users/{user.id}"
    await vault.call("PATCH", path, admin, {"tier": "starter"})
    assert f"user.{user.id}" not in await vault.bucket("keys")
    await vault.call("PATCH", path, admin, {"monthly_budget": 0})
    assert b'"monthly_budget":"0"' in (await vault.bucket("keys"))[f"user.{user.id}"]
    await vault.call("PATCH", path, admin, {"enabled": False})
    assert b'"enabled":false' in (await vault.bucket("keys"))[f"user.{user.id}"]
    await vault.call("PATCH", path, admin, {"monthly_budget": None})
    assert f"user.{user.id}" not in await vault.bucket("keys")


async def test_the_last_admin_cannot_step_down(vault: Any) -> None:
    admin = await vault.admin()
    await vault.owner.execute("UPDATE users SET role = 'user' WHERE id <> $1", admin.id)
    for body in ({"role": "user"}, {"enabled": False}):
        assert (await vault.call("PATCH", f"/api/v1/users/{admin.id}", admin, body)).status_code == 409
    await vault.admin()
    assert (await vault.call("PATCH", f"/api/v1/users/{admin.id}", admin, {"role": "user"})).status_code == 200


async def test_keys_follow_their_owners_tier_unless_they_have_their_own(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person()
    inherited = await vault.make_key(user)
    own = await vault.make_key(admin, user_id=user.id, tier="professional")
    await vault.call("PATCH", f"/api/v1/users/{user.id}", admin, {"tier": "starter"})
    held = await vault.bucket("keys")
    told = {made["id"]: KeySnapshot.model_validate_json(held[made["id"]]) for made in (inherited, own)}
    assert told[inherited["id"]].tier == "starter"
    assert told[own["id"]].tier == "professional"
    shown = (await vault.call("GET", f"/api/v1/keys/{inherited['id']}", admin)).json()
    assert shown["tier"] == "starter"


async def test_a_change_says_in_the_trail_who_changed_what(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person()
    headers = {**admin.headers, "x-forwarded-for": "203.0.113.9"}
    await vault.client.patch(f"/api/v1/users/{user.id}", json={"tier": "starter"}, headers=headers)
    [entry] = (await vault.call("GET", "/api/v1/audit?limit=1", admin)).json()["items"]
    assert (entry["actor"], entry["action"], entry["subject"]) == (admin.id, "user.changed", user.id)
    assert (entry["origin"], entry["detail"]) == ("203.0.113.9", {"tier": "starter"})
