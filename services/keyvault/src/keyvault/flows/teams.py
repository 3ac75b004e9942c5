"""Teams: made, shown, changed, removed, and who is in them.

Locks are taken in one order everywhere: users, then teams, then keys. A team that is switched off takes its keys with
it at once, and a removed one ends them for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from common.clock import Clock
from common.contracts.topology import KEYS_BUCKET
from common.errors import NotFound, Unprocessable
from common.ids import uuid7
from common.postgres.outbox import Message, add, removal, snapshot
from common.postgres.pool import Connection, Pool

from keyvault.domain.actors import Actor
from keyvault.domain.audit import Act
from keyvault.domain.teams import Member, Team, TeamNotFound, snapshot_of
from keyvault.flows import key_messages
from keyvault.flows.audit_trail import record
from keyvault.flows.refusals import Refusals
from keyvault.store import keys, teams, users


class MemberUnknown(Unprocessable):
    """The user that a team should take in does not exist."""


class MemberNotFound(NotFound):
    """The user is not in the team."""


class Teams:
    """The journeys of teams. `by` sees the teams they are in, an admin all; only admins change one."""

    def __init__(self, pool: Pool, clock: Clock, refusals: Refusals) -> None:
        self._pool = pool
        self._clock = clock
        self._refusals = refusals

    async def create(self, by: Actor, given: Mapping[str, Any]) -> tuple[Team, int]:
        """Make a team; it, and the outbox row that tells everybody."""
        now = self._clock.now()
        team = Team(id=uuid7(), created_at=now, updated_at=now, **given)
        async with self._pool.acquire() as connection, connection.transaction():
            await teams.insert(connection, team)
            await record(connection, Act(by, "team.created", team.id, {"name": team.name}), now)
            return team, await add(connection, [_state(team)])

    async def page(self, by: Actor, before_id: str | None, limit: int) -> list[Team]:
        """Teams, the newest first."""
        async with self._pool.acquire() as connection:
            return await teams.page(connection, _seen_by(by), before_id, limit)

    async def team(self, by: Actor, team_id: str) -> Team:
        """One team; TeamNotFound also for one that `by` is not in."""
        async with self._pool.acquire() as connection:
            return _existing(await teams.by_id(connection, team_id, _seen_by(by)))

    async def change(self, by: Actor, team_id: str, given: Mapping[str, Any]) -> tuple[Team, int]:
        """Set name, limits or enabled; the team, and the outbox row that tells everybody."""
        async with self._pool.acquire() as connection, connection.transaction():
            old = _existing(next(iter(await teams.lock(connection, [team_id])), None))
            changed = {name: value for name, value in given.items() if getattr(old, name) != value}
            if not changed:
                return old, 0
            now = self._clock.now()
            team = replace(old, **changed, updated_at=now)
            await teams.update(connection, team)
            messages, key_ids = [_state(team)], list[str]()
            if "enabled" in changed:
                key_ids = await keys.lock(connection, await keys.ids_of_team(connection, team.id))
                await keys.mark_refusals_pending(connection, key_ids)
                messages += await _about_keys(connection, key_ids, now)
            await record(
                connection, Act(by, "team.changed", team.id, {name: str(changed[name]) for name in changed}), now
            )
            outbox_id = await add(connection, messages)
        await self._refusals.settle(key_ids)
        return team, outbox_id

    async def remove(self, by: Actor, team_id: str) -> int:
        """End a team and its keys, at every gateway before this returns."""
        async with self._pool.acquire() as connection, connection.transaction():
            team = _existing(next(iter(await teams.lock(connection, [team_id])), None))
            key_ids = await keys.lock(connection, await keys.ids_of_team(connection, team.id))
            now = self._clock.now()
            ending = await keys.find(connection, key_ids, now)
            await teams.update(connection, replace(team, enabled=False, updated_at=now, removed_at=now))
            for key_id in key_ids:
                await keys.revoke(connection, key_id, now)
            messages = [message for key in ending for message in key_messages.revoked(key, now)]
            act = Act(by, "team.removed", team.id, {"name": team.name, "keys_revoked": str(len(key_ids))})
            await record(connection, act, now)
            outbox_id = await add(connection, [removal(KEYS_BUCKET.name, f"team.{team.id}"), *messages])
        await self._refusals.settle(key_ids)
        return outbox_id

    async def members(self, by: Actor, team_id: str, after_id: str | None, limit: int) -> list[Member]:
        """Who is in a team."""
        async with self._pool.acquire() as connection:
            team = _existing(await teams.by_id(connection, team_id, _seen_by(by)))
            return await teams.members(connection, team.id, after_id, limit)

    async def add_member(self, by: Actor, team_id: str, user_id: str) -> Member:
        """Take somebody into a team; doing it again changes nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            user = await users.hold(connection, user_id)
            if user is None:
                raise MemberUnknown("user_id: there is no such user")
            team = _existing(await teams.hold(connection, team_id))
            now = self._clock.now()
            if await teams.add_member(connection, team.id, user.id, now):
                await record(connection, Act(by, "team.member_added", team.id, {"user_id": user.id}), now)
            return Member(user.id, user.email, user.name, now)

    async def remove_member(self, by: Actor, team_id: str, user_id: str) -> None:
        """Take somebody out of a team; keys that they have in it stay the team's."""
        async with self._pool.acquire() as connection, connection.transaction():
            team = _existing(await teams.hold(connection, team_id))
            if not await teams.remove_member(connection, team.id, user_id):
                raise MemberNotFound("this user is not in the team")
            await record(connection, Act(by, "team.member_removed", team.id, {"user_id": user_id}), self._clock.now())


def _seen_by(by: Actor) -> str | None:
    return None if by.is_admin else by.id


def _existing(team: Team | None) -> Team:
    if team is None:
        raise TeamNotFound("there is no such team")
    return team


def _state(team: Team) -> Message:
    return snapshot(KEYS_BUCKET.name, f"team.{team.id}", snapshot_of(team))


async def _about_keys(connection: Connection, key_ids: Sequence[str], now: datetime) -> list[Message]:
    found = await keys.find(connection, key_ids, now)
    return [message for key in found for message in key_messages.updated(key, ("enabled",), now)]
