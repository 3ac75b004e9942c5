"""Users, as admins see and change them.

Role, tier and being enabled stand in the tokens that services verify by themselves, so a change of one ends the user's
sessions; and the user's keys follow at once. Limits do not end sessions: gateways learn them from the user's snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from common.clock import Clock
from common.contracts.snapshots import UserSessions
from common.contracts.topology import KEYS_BUCKET, SESSIONS_BUCKET
from common.errors import NotFound
from common.postgres.outbox import Message, add, removal, snapshot
from common.postgres.pool import Connection, Pool

from keyvault.domain.accounts import User, differing, refuse_losing_last_admin, snapshot_of
from keyvault.domain.actors import Actor
from keyvault.domain.audit import Act
from keyvault.flows.audit_trail import record
from keyvault.flows.key_messages import updated
from keyvault.flows.refusals import Refusals
from keyvault.store import keys, users

_STANDING = frozenset({"role", "tier", "enabled"})
"""What stands in a session's token."""


class UserNotFound(NotFound):
    """There is no such user."""


class Users:
    """The journeys of an admin among the users."""

    def __init__(self, pool: Pool, clock: Clock, refusals: Refusals) -> None:
        self._pool = pool
        self._clock = clock
        self._refusals = refusals

    async def page(self, before_id: str | None, limit: int) -> list[User]:
        """Users, the newest first."""
        async with self._pool.acquire() as connection:
            return await users.page(connection, before_id, limit)

    async def user(self, user_id: str) -> User:
        """One user."""
        async with self._pool.acquire() as connection:
            found = await users.by_id(connection, user_id)
        if found is None:
            raise UserNotFound("there is no such user")
        return found

    async def change_standing(self, by: Actor, user_id: str, change: dict[str, Any]) -> tuple[User, int]:
        """Set role, tier, enabled or limits; the user, and the outbox row that tells everybody."""
        async with self._pool.acquire() as connection, connection.transaction():
            admins = await users.lock_enabled_admins(connection)
            user = await users.lock(connection, user_id)
            if user is None:
                raise UserNotFound("there is no such user")
            changed = differing(user, change)
            if not changed:
                return user, 0
            refuse_losing_last_admin(user, changed, admins)
            now = self._clock.now()
            old, user = user, replace(user, **changed, updated_at=now)
            if _STANDING & changed.keys():
                user = replace(user, sessions_not_before=now)
            await users.update_standing(connection, user)
            key_ids = await self._followed_by_keys(connection, user, changed)
            messages = _about_sessions(user, old) + _about_limits(user, old)
            messages += await _about_keys(connection, key_ids, changed, now)
            detail = {name: str(value) for name, value in changed.items()}
            await record(connection, Act(by, "user.changed", user.id, detail), now)
            outbox_id = await add(connection, messages)
        await self._refusals.settle(key_ids if "enabled" in changed else ())
        return user, outbox_id

    async def _followed_by_keys(self, connection: Connection, user: User, changed: dict[str, Any]) -> list[str]:
        """Lock the keys that a change of their owner changes, too."""
        if not {"tier", "enabled"} & changed.keys():
            return []
        key_ids = await keys.lock(connection, await keys.ids_of_user(connection, user.id))
        if "enabled" in changed:
            await keys.mark_refusals_pending(connection, key_ids)
        return key_ids


def _about_sessions(user: User, old: User) -> list[Message]:
    if user.sessions_not_before is None or user.sessions_not_before == old.sessions_not_before:
        return []
    return [snapshot(SESSIONS_BUCKET.name, f"user.{user.id}", UserSessions(not_before=user.sessions_not_before))]


def _about_limits(user: User, old: User) -> list[Message]:
    """Only users who have limits are told of: most have none, and a call is not looked up for them."""
    if user.has_limits:
        return [snapshot(KEYS_BUCKET.name, f"user.{user.id}", snapshot_of(user))]
    return [removal(KEYS_BUCKET.name, f"user.{user.id}")] if old.has_limits else []


async def _about_keys(
    connection: Connection, key_ids: Sequence[str], changed: dict[str, Any], now: datetime
) -> list[Message]:
    names = tuple(name for name in ("tier", "enabled") if name in changed)
    return [message for key in await keys.find(connection, key_ids, now) for message in updated(key, names, now)]
