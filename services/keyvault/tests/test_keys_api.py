"""Virtual keys over HTTP: who may do what to which, what is shown, and what the gateway is told."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from common.contracts.changes import KeyChanged
from common.contracts.envelope import Envelope
from common.contracts.snapshots import KeySnapshot

SHOWN = {
    "id", "name", "last4", "enabled", "rate_limit", "token_limit", "max_concurrency", "monthly_budget",
    "allowed_models", "tier", "user_id", "team_id", "expires_at", "metadata", "log_content", "cache_ttl_s",
    "created_at", "last_used_at",
}  # fmt: skip


async def snapshot_of(vault: Any, key_id: str) -> KeySnapshot | None:
    body = (await vault.bucket("keys")).get(key_id)
    return KeySnapshot.model_validate_json(body) if body else None


async def test_a_made_key_is_shown_once_and_known_to_the_gateway_by_its_hash(vault: Any) -> None:
    user = await vault.person(tier="starter")
    answer = await vault.call("POST", "/api/v1/keys", user, {"name": "laptop", "rate_limit": 5})
    made = answer.json()
    assert answer.status_code == 201
    assert made.keys() == SHOWN | {"key"}
    assert (made["rate_limit"], made["tier"], made["user_id"]) == (5, "starter", user.id)
    assert made["key"].endswith(made["last4"])
    # The answer came after the snapshot, and names its revision.
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    assert [each.sha256 for each in told.secrets] == [hashlib.sha256(made["key"].encode()).hexdigest()]
    assert (told.rate_limit, told.tier, told.user_id, told.enabled) == (5, "starter", user.id, True)
    assert "keys=" in answer.headers["x-tollgate-revision"]
    shown = (await vault.call("GET", f"/api/v1/keys/{made['id']}", user)).json()
    assert shown == {name: value for name, value in made.items() if name != "key"}


async def test_every_term_is_kept_and_shown_as_it_was_given(vault: Any) -> None:
    admin = await vault.admin()
    team = (await vault.call("POST", "/api/v1/teams", admin, {"name": "a team"})).json()
    terms = {
        "rate_limit": 100,
        "token_limit": 5_000_000,
        "max_concurrency": 3,
        "monthly_budget": 10.25,
        "allowed_models": ["gpt-4", "openai/gpt-4o"],
        "tier": "professional",
        "team_id": team["id"],
        "expires_at": "2027-01-01T00:00:00Z",
        "metadata": {"ratio": 0.5, "nested": {"deep": [1, None, "ü"]}},
        "log_content": True,
        "cache_ttl_s": 60,
        "enabled": False,
        "user_id": None,
    }
    made = await vault.make_key(admin, **terms)
    assert {name: made[name] for name in terms} == terms
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    assert str(told.monthly_budget) == "10.25"
    assert not told.enabled


async def test_a_budget_may_be_text_and_is_shown_as_a_number(vault: Any) -> None:
    user = await vault.person()
    assert (await vault.make_key(user, monthly_budget="10"))["monthly_budget"] == 10
    assert (await vault.make_key(user, monthly_budget="0.000000001"))["monthly_budget"] == 1e-9
    assert (await vault.make_key(user))["monthly_budget"] is None


WRONG: list[dict[str, Any]] = [
    {},
    {"name": ""},
    {"name": "x" * 201},
    {"name": "nul\x00"},
    {"name": None},
    {"name": "a", "nmae": "b"},
    {"name": "a", "rate_limit": 0},
    {"name": "a", "rate_limit": 1.5},
    {"name": "a", "token_limit": -1},
    {"name": "a", "max_concurrency": 2**31},
    {"name": "a", "monthly_budget": -1},
    {"name": "a", "monthly_budget": "NaN"},
    {"name": "a", "monthly_budget": "1e-12"},
    {"name": "a", "monthly_budget": 9_000_001},
    {"name": "a", "allowed_models": [""]},
    {"name": "a", "expires_at": "2027-01-01T00:00:00"},
    {"name": "a", "expires_at": "0001-01-01T00:00:00+14:00"},
    {"name": "a", "metadata": {"a": "x" * 20_000}},
    {"name": "a", "metadata": {"a": "\x00"}},
    {"name": "a", "metadata": {"a": "\ud800"}},
    {"name": "a", "metadata": [1]},
    {"name": "a", "cache_ttl_s": 0},
    {"name": "a", "tier": "gold"},
    {"name": "a", "enabled": None},
    {"name": "a", "key": "short"},
    {"name": "a", "key": "with a space in it"},
    {"name": "a", "user_id": "nobody"},
]


async def test_a_wrong_request_is_a_422_and_makes_nothing(vault: Any) -> None:
    admin = await vault.admin()
    for body in WRONG:
        content = json.dumps(body)
        headers = {**admin.headers, "content-type": "application/json"}
        answer = await vault.client.post("/api/v1/keys", content=content, headers=headers)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["detail"]
    for raw in (b"", b"{", b"\xff", b'{"name": NaN}', b"[" * 100_000):
        headers = {**admin.headers, "content-type": "application/json"}
        answer = await vault.client.post("/api/v1/keys", content=raw, headers=headers)
        assert 400 <= answer.status_code < 500, raw
    assert (await vault.call("GET", f"/api/v1/keys?user_id={admin.id}", admin)).json()["items"] == []


@pytest.mark.parametrize(
    "terms", [{"tier": "enterprise"}, {"user_id": None}, {"team_id": "t"}, {"key": "my-own-key-1"}]
)
async def test_a_user_cannot_give_what_is_for_admins(vault: Any, terms: dict[str, Any]) -> None:
    user = await vault.person()
    answer = await vault.call("POST", "/api/v1/keys", user, {"name": "a", **terms})
    assert answer.status_code == 403
    assert next(iter(terms)) in answer.json()["detail"]
    assert "my-own-key-1" not in answer.text


async def test_an_admin_imports_a_key_and_a_taken_one_is_refused(vault: Any) -> None:
    admin, user = await vault.admin(), await vault.person(tier="starter")
    made = await vault.make_key(admin, key="test-key-12345", user_id=user.id)
    assert (made["key"], made["last4"], made["tier"]) == ("test-key-12345", "2345", "starter")
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    assert told.secrets[0].sha256 == hashlib.sha256(b"test-key-12345").hexdigest()
    again = await vault.call("POST", "/api/v1/keys", admin, {"name": "b", "key": "test-key-12345"})
    assert again.status_code == 409
    assert "test-key-12345" not in again.text
    assert (await vault.call("DELETE", f"/api/v1/keys/{made['id']}", admin)).status_code == 204
    revoked = await vault.call("POST", "/api/v1/keys", admin, {"name": "b", "key": "test-key-12345"})
    assert revoked.status_code == 409


async def test_of_two_imports_of_one_key_at_once_one_wins(vault: Any) -> None:
    admin = await vault.admin()
    body = {"name": "a", "key": "contested-key-1"}
    answers = await asyncio.gather(*(vault.call("POST", "/api/v1/keys", admin, body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    listed = await vault.call("GET", f"/api/v1/keys?user_id={admin.id}", admin)
    assert len(listed.json()["items"]) == 1


async def test_users_see_their_own_keys_and_admins_all(vault: Any) -> None:
    admin, one, other = await vault.admin(), await vault.person(), await vault.person()
    mine, theirs = await vault.make_key(one), await vault.make_key(other)
    path = f"/api/v1/keys/{theirs['id']}"
    for method, at, body in [
        ("GET", path, None),
        ("PATCH", path, {"name": "stolen"}),
        ("POST", f"{path}/rotate", {}),
        ("DELETE", path, None),
    ]:
        answer = await vault.call(method, at, one, body)
        assert (answer.status_code, answer.json()["detail"]) == (404, "there is no such key")

    async def listed(by: Any, query: str = "") -> set[str]:
        items = (await vault.call("GET", f"/api/v1/keys{query}", by)).json()["items"]
        return {item["id"] for item in items}

    assert await listed(one) == {mine["id"]}
    assert {mine["id"], theirs["id"]} <= await listed(admin)
    assert await listed(admin, f"?user_id={other.id}") == {theirs["id"]}
    assert await listed(one, f"?user_id={one.id}") == {mine["id"]}
    assert (await vault.call("GET", f"/api/v1/keys?user_id={other.id}", one)).status_code == 403
    assert (await vault.call("GET", path, other)).json()["name"] == "a key"


async def test_lists_come_in_pages_with_the_newest_first(vault: Any) -> None:
    user = await vault.person()
    ids = [(await vault.make_key(user, name=str(number)))["id"] for number in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await vault.call("GET", f"/api/v1/keys?limit=2{cursor}", user)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    for query in ("limit=0", "limit=1001", "limit=x"):
        assert (await vault.call("GET", f"/api/v1/keys?{query}", user)).status_code == 422
    for wrong in ("x", "W10", "WzFd", "WyJcdTAwMDAiXQ", "////"):
        assert (await vault.call("GET", f"/api/v1/keys?cursor={wrong}", user)).status_code == 400


async def test_a_change_reaches_the_gateway_before_the_answer(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user, rate_limit=10)
    body = {"name": "other", "rate_limit": 5, "max_concurrency": 1}
    answer = await vault.call("PATCH", f"/api/v1/keys/{made['id']}", user, body)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in body} == body
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    assert (told.name, told.rate_limit, told.max_concurrency) == ("other", 5, 1)


async def test_a_change_that_changes_nothing_tells_nobody(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user, rate_limit=10)
    events, entries = len(await vault.events("KEYS")), len(await vault.audit_actions())
    for body in ({}, {"rate_limit": 10}, {"name": "a key", "enabled": True}):
        assert (await vault.call("PATCH", f"/api/v1/keys/{made['id']}", user, body)).status_code == 200
    assert len(await vault.events("KEYS")) == events
    assert len(await vault.audit_actions()) == entries


async def test_only_an_admin_raises_limits_or_moves_a_key(vault: Any) -> None:
    admin, user, other = await vault.admin(), await vault.person(), await vault.person(tier="starter")
    made = await vault.make_key(user, rate_limit=10, monthly_budget=1)
    path = f"/api/v1/keys/{made['id']}"
    for body in ({"rate_limit": 11}, {"monthly_budget": None}, {"user_id": other.id}, {"tier": "starter"}):
        answer = await vault.call("PATCH", path, user, body)
        assert answer.status_code == 403
        assert next(iter(body)) in answer.json()["detail"]
        assert (await vault.call("PATCH", path, admin, body)).status_code == 200
    assert (await vault.call("GET", path, user)).status_code == 404
    shown = (await vault.call("GET", path, other)).json()
    assert (shown["rate_limit"], shown["monthly_budget"], shown["tier"]) == (11, None, "starter")
    assert (await vault.call("PATCH", path, admin, {"user_id": "nobody"})).status_code == 422
    assert (await vault.call("PATCH", path, admin, {"key": "another-key-1"})).status_code == 422


async def test_rotating_leaves_two_secrets_and_an_end_for_the_old_one(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    answer = await vault.call("POST", f"/api/v1/keys/{made['id']}/rotate", user, {"grace_seconds": 60})
    rotated = answer.json()
    assert answer.status_code == 200
    assert rotated.keys() == SHOWN | {"key", "previous_key_expires_at"}
    assert rotated["key"] != made["key"]
    assert rotated["last4"] == rotated["key"][-4:]
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    ends = {each.sha256: each.expires_at for each in told.secrets}
    old, fresh = (hashlib.sha256(text.encode()).hexdigest() for text in (made["key"], rotated["key"]))
    assert ends.keys() == {old, fresh}
    assert ends[fresh] is None
    end = ends[old]
    assert end is not None
    assert timedelta(seconds=50) < end - datetime.now(UTC) <= timedelta(seconds=60)
    assert datetime.fromisoformat(rotated["previous_key_expires_at"]) == end


async def test_rotating_again_ends_the_oldest_secret_at_once(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    path = f"/api/v1/keys/{made['id']}/rotate"
    second = (await vault.call("POST", path, user)).json()["key"]
    third = (await vault.call("POST", path, user)).json()["key"]
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    known = {hashlib.sha256(text.encode()).hexdigest() for text in (second, third)}
    assert {each.sha256 for each in told.secrets} == known
    last = (await vault.call("POST", path, user, {"grace_seconds": 0})).json()
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    assert [each.sha256 for each in told.secrets] == [hashlib.sha256(last["key"].encode()).hexdigest()]
    assert last["previous_key_expires_at"] is None


async def test_rotations_side_by_side_leave_one_newest_secret(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    path = f"/api/v1/keys/{made['id']}/rotate"
    answers = await asyncio.gather(*(vault.call("POST", path, user) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    told = await snapshot_of(vault, made["id"])
    assert told is not None
    assert sorted(each.expires_at is None for each in told.secrets) == [False, True]


async def test_a_grace_period_has_bounds(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    for grace in (-1, 30 * 86_400 + 1, "x"):
        answer = await vault.call("POST", f"/api/v1/keys/{made['id']}/rotate", user, {"grace_seconds": grace})
        assert answer.status_code == 422


async def test_every_change_is_an_event_and_an_audit_entry(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    path = f"/api/v1/keys/{made['id']}"
    await vault.call("PATCH", path, user, {"rate_limit": 3})
    await vault.call("POST", f"{path}/rotate", user)
    await vault.call("DELETE", path, user)
    events = [event for event in await vault.events("KEYS") if made["id"].encode() in event[1]]
    assert [subject for subject, _ in events] == ["keys.created", "keys.updated", "keys.updated", "keys.revoked"]
    told = [Envelope[KeyChanged].model_validate_json(body) for _, body in events]
    assert [event.data.changed for event in told] == [(), ("rate_limit",), ("secrets",), ()]
    assert await vault.audit_actions(made["id"]) == ["key.created", "key.changed", "key.rotated", "key.revoked"]
