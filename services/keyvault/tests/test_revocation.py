"""Refusing a key at every gateway before the answer, also while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest_asyncio


class Door:
    """A port that leads to Redis while it is open; shutting it cuts every connection."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._is_open = True
        self._through: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def open(self) -> None:
        self._is_open = True

    def shut(self) -> None:
        self._is_open = False
        for writer in self._through:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            writer.close()
            return
        onward_reader, onward_writer = await asyncio.open_connection(*self._to)
        self._through |= {writer, onward_writer}
        await asyncio.gather(
            self._copy(reader, onward_writer), self._copy(onward_reader, writer), return_exceptions=True
        )
        self._through -= {writer, onward_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def door(redis_url: str) -> AsyncIterator[Door]:
    """The way to Redis."""
    parts = urlsplit(redis_url)
    made = Door(str(parts.hostname), int(parts.port or 6379))
    server = await made.start()
    yield made
    made.shut()
    server.close()


def through(door: Door, redis_url: str) -> str:
    parts = urlsplit(redis_url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{door.port}"))


async def marked(vault: Any, key_id: str) -> bool:
    return bool(await vault.redis.exists(f"revoked:{key_id}"))


async def pending(vault: Any, key_id: str) -> bool:
    return bool(await vault.owner.fetchval("SELECT refusal_pending FROM virtual_keys WHERE id = $1", key_id))


async def test_a_revoked_key_is_marked_in_redis_and_gone_from_the_bucket_before_the_answer(vault: Any) -> None:
    user = await vault.person()
    made = await vault.make_key(user)
    assert made["id"] in await vault.bucket("keys")
    answer = await vault.call("DELETE", f"/api/v1/keys/{made['id']}", user)
    assert await marked(vault, made["id"])
    assert answer.status_code == 204
    assert "keys=2" in answer.headers["x-tollgate-revision"]
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
    assert (await vault.audit_actions()).count("key.revoked") == 1


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


async def test_while_redis_is_away_a_revocation_is_saved_said_to_be_unfinished_and_finished_later(
    start: Any, door: Door, redis_url: str, eventually: Any
) -> None:
    async with start(REDIS_URL=through(door, redis_url)) as vault:
        user = await vault.person()
        made = await vault.make_key(user)
        path = f"/api/v1/keys/{made['id']}"
        door.shut()
        answer = await vault.call("DELETE", path, user)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert not await marked(vault, made["id"])
        assert await pending(vault, made["id"])
        assert (await vault.call("GET", path, user)).status_code == 404
        assert (await vault.call("DELETE", path, user)).status_code == 503
        door.open()
        await eventually(lambda: marked(vault, made["id"]))
        assert (await vault.call("DELETE", path, user)).status_code == 204
        assert not await pending(vault, made["id"])


async def test_a_revocation_that_died_halfway_is_finished_by_the_next_start(
    start: Any, door: Door, redis_url: str, eventually: Any
) -> None:
    async with start(REDIS_URL=through(door, redis_url)) as vault:
        user = await vault.person()
        made = await vault.make_key(user)
        door.shut()
        await vault.call("DELETE", f"/api/v1/keys/{made['id']}", user)
    async with start() as vault:
        await eventually(lambda: marked(vault, made["id"]))


async def test_of_two_changes_while_redis_is_away_the_later_one_stays(
    start: Any, door: Door, redis_url: str, eventually: Any
) -> None:
    async with start(REDIS_URL=through(door, redis_url)) as vault:
        user = await vault.person()
        made = await vault.make_key(user)
        path = f"/api/v1/keys/{made['id']}"
        door.shut()
        assert (await vault.call("PATCH", path, user, {"enabled": False})).status_code == 503
        assert (await vault.call("PATCH", path, user, {"enabled": True})).status_code == 503
        door.open()

        async def settled() -> bool:
            return not await pending(vault, made["id"])

        await eventually(settled)
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
