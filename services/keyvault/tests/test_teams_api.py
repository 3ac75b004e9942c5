"""Teams: limits and members; what happens to a team's keys when it is switched off or removed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from common.contracts.snapshots import KeySnapshot, TeamSnapshot
from common.money import Money


async def make_team(vault: Any, admin: Any, **terms: Any) -> dict[str, Any]:
    answer = await vault.call("POST", "/api/v1/teams", admin, {"name": "search", **terms})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def told_of(vault: Any, key_id: str) -> KeySnapshot | None:
    body = (await vault.bucket("keys")).get(key_id)
    return KeySnapshot.model_validate_json(body) if body else None


async def test_a_team_has_limits_and_gateways_know_them_before_the_answer(vault: Any) -> None:
    admin = await vault.admin()
    limits = {"rate_limit": 600, "token_limit": 1_000_000, "max_concurrency": 20, "monthly_budget": 250.5}
    made = await make_team(vault, admin, **limits)
    assert made.keys() == {
        "id", "name", "enabled", "created_at", "updated_at",
        "rate_limit", "token_limit", "max_concurrency", "monthly_budget",
    }  # fmt: skip
    assert {name: made[name] for name in limits} == limits
    told = TeamSnapshot.model_validate_json((await vault.bucket("keys"))[f"team.{made['id']}"])
    assert told == TeamSnapshot(
        id=made["id"], name="search", rate_limit=600, token_limit=1_000_000, max_concurrency=20,
        monthly_budget=Money.of("250.5"),
    )  # fmt: skip
    answer = await vault.call("PATCH", f"/api/v1/teams/{made['id']}", admin, {"monthly_budget": None, "name": "find"})
    assert (answer.json()["monthly_budget"], answer.json()["name"]) == (None, "find")
    assert "keys=" in answer.headers["x-tollgate-revision"]
    told = TeamSnapshot.model_validate_json((await vault.bucket("keys"))[f"team.{made['id']}"])
    assert (told.monthly_budget, told.name, told.rate_limit) == (None, "find", 600)
    assert await vault.audit_actions(made["id"]) == ["team.created", "team.changed"]


async def test_a_change_that_changes_nothing_leaves_no_trace(vault: Any) -> None:
    admin = await vault.admin()
    made = await make_team(vault, admin, rate_limit=5)
    assert (await vault.call("PATCH", f"/api/v1/teams/{made['id']}", admin, {"rate_limit": 5})).json() == made
    assert await vault.audit_actions(made["id"]) == ["team.created"]


async def test_members_read_their_teams_and_others_do_not(vault: Any) -> None:
    admin, member, other = await vault.admin(), await vault.person(), await vault.person()
    made = await make_team(vault, admin)
    path = f"/api/v1/teams/{made['id']}"
    for _ in range(2):
        added = await vault.call("POST", f"{path}/members", admin, {"user_id": member.id})
        assert (added.status_code, added.json()["email"]) == (201, member.email)
    assert (await vault.call("GET", path, member)).json() == made
    assert [team["id"] for team in (await vault.call("GET", "/api/v1/teams", member)).json()["items"]] == [made["id"]]
    assert [one["user_id"] for one in (await vault.call("GET", f"{path}/members", member)).json()["items"]] == [
        member.id
    ]
    assert (await vault.call("GET", "/api/v1/teams", other)).json()["items"] == []
    for hidden in (path, f"{path}/members"):
        assert (await vault.call("GET", hidden, other)).status_code == 404
    assert (await vault.call("PATCH", path, member, {"monthly_budget": None})).status_code == 403
    assert (await vault.call("DELETE", f"{path}/members/{member.id}", admin)).status_code == 204
    assert (await vault.call("GET", path, member)).status_code == 404
    assert (await vault.call("DELETE", f"{path}/members/{member.id}", admin)).status_code == 404
    assert await vault.audit_actions(made["id"]) == ["team.created", "team.member_added", "team.member_removed"]


async def test_lists_come_in_pages(vault: Any) -> None:
    admin = await vault.admin()
    made = [await make_team(vault, admin) for _ in range(3)]
    first = (await vault.call("GET", "/api/v1/teams?limit=2", admin)).json()
    following = (await vault.call("GET", f"/api/v1/teams?limit=1&cursor={first['next_cursor']}", admin)).json()
    assert [team["id"] for team in first["items"] + following["items"]] == sorted(
        (team["id"] for team in made), reverse=True
    )
    people = [await vault.person() for _ in range(3)]
    path = f"/api/v1/teams/{made[0]['id']}/members"
    for person in people:
        await vault.call("POST", path, admin, {"user_id": person.id})
    first = (await vault.call("GET", f"{path}?limit=2", admin)).json()
    following = (await vault.call("GET", f"{path}?limit=2&cursor={first['next_cursor']}", admin)).json()
    assert [one["user_id"] for one in first["items"] + following["items"]] == sorted(person.id for person in people)
    assert following["next_cursor"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "nul\x00"}, {"name": "a", "rate_limit": 0}, {"name": "a", "monthly_budget": -1},
     {"name": "a", "enabled": None}, {"name": "a", "id": "b"}, {"name": "x" * 201}],
)  # fmt: skip
async def test_a_wrong_team_is_a_422(vault: Any, body: dict[str, Any]) -> None:
    assert (await vault.call("POST", "/api/v1/teams", await vault.admin(), body)).status_code == 422


async def test_what_is_not_there_is_said_so(vault: Any) -> None:
    admin = await vault.admin()
    made = await make_team(vault, admin)
    path = f"/api/v1/teams/{made['id']}/members"
    assert (await vault.call("POST", path, admin, {"user_id": "nobody"})).status_code == 422
    assert (await vault.call("POST", "/api/v1/teams/none/members", admin, {"user_id": admin.id})).status_code == 404
    for method in ("GET", "PATCH", "DELETE"):
        body = {"name": "b"} if method == "PATCH" else None
        assert (await vault.call(method, "/api/v1/teams/none", admin, body)).status_code == 404
    refused = await vault.call("POST", "/api/v1/keys", admin, {"name": "a", "team_id": "none"})
    assert refused.status_code == 422
    key = await vault.make_key(admin)
    refused = await vault.call("PATCH", f"/api/v1/keys/{key['id']}", admin, {"team_id": "none"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "team_id: there is no such team")


async def test_a_switched_off_teams_keys_are_refused_at_once_and_let_in_again(vault: Any) -> None:
    admin = await vault.admin()
    made = await make_team(vault, admin)
    key, other = await vault.make_key(admin, team_id=made["id"]), await vault.make_key(admin)
    path = f"/api/v1/teams/{made['id']}"
    assert (await vault.call("PATCH", path, admin, {"enabled": False})).json()["enabled"] is False
    assert await vault.redis.exists(f"revoked:{key['id']}")
    assert not await vault.redis.exists(f"revoked:{other['id']}")
    told = await told_of(vault, key["id"])
    assert told is not None
    assert told.enabled is False
    moved = await vault.make_key(admin)
    await vault.call("PATCH", f"/api/v1/keys/{moved['id']}", admin, {"team_id": made["id"]})
    assert await vault.redis.exists(f"revoked:{moved['id']}")
    await vault.call("PATCH", path, admin, {"enabled": True})
    assert not await vault.redis.exists(f"revoked:{key['id']}", f"revoked:{moved['id']}")
    told = await told_of(vault, key["id"])
    assert told is not None
    assert told.enabled is True


async def test_a_removed_team_leaves_no_key_alive(vault: Any) -> None:
    admin, member = await vault.admin(), await vault.person()
    made = await make_team(vault, admin)
    keys = [await vault.make_key(admin, team_id=made["id"], user_id=member.id) for _ in range(2)]
    other = await vault.make_key(member)
    await vault.call("POST", f"/api/v1/teams/{made['id']}/members", admin, {"user_id": member.id})
    answer = await vault.call("DELETE", f"/api/v1/teams/{made['id']}", admin)
    assert answer.status_code == 204
    held = await vault.bucket("keys")
    assert f"team.{made['id']}" not in held
    assert other["id"] in held
    for key in keys:
        assert await vault.redis.exists(f"revoked:{key['id']}")
        assert key["id"] not in held
        assert (await vault.call("GET", f"/api/v1/keys/{key['id']}", member)).status_code == 404
    assert (await vault.call("GET", "/api/v1/teams", member)).json()["items"] == []
    assert (await vault.call("DELETE", f"/api/v1/teams/{made['id']}", admin)).status_code == 404
    assert (await vault.call("POST", "/api/v1/keys", admin, {"name": "a", "team_id": made["id"]})).status_code == 422


async def test_a_key_made_while_its_team_is_removed_does_not_outlive_it(vault: Any) -> None:
    admin = await vault.admin()
    for _ in range(5):
        made = await make_team(vault, admin)
        answers = await asyncio.gather(
            vault.call("POST", "/api/v1/keys", admin, {"name": "a", "team_id": made["id"]}),
            vault.call("DELETE", f"/api/v1/teams/{made['id']}", admin),
        )
        assert answers[1].status_code == 204
        if answers[0].status_code == 201:
            assert await vault.redis.exists(f"revoked:{answers[0].json()['id']}")
