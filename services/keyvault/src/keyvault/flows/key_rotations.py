"""Rotation schedules of virtual keys: set, ended, and what happens when one falls due.

The owner of a key sets its schedule; one that an admin has set only admins change. `virtual_keys.rotate` is how the owner
gets the next secret.
"""

from __future__ import annotations

import structlog
from common.clock import Clock
from common.errors import NotFound
from common.postgres.outbox import add
from common.postgres.pool import Connection, Pool

from keyvault.domain.actors import SYSTEM, Actor
from keyvault.domain.audit import Act
from keyvault.domain.key_rotations import RotationSchedule, scheduled
from keyvault.domain.virtual_keys import OnlyAdmins, VirtualKey
from keyvault.flows import key_messages
from keyvault.flows.audit_trail import record
from keyvault.flows.virtual_keys import VirtualKeys
from keyvault.store import key_rotations, keys

log = structlog.get_logger()

_AT_ONCE = 200


class NoSchedule(NotFound):
    """The key has no rotation schedule."""


class KeyRotations:
    """The journeys of rotation schedules."""

    def __init__(self, pool: Pool, clock: Clock, virtual_keys: VirtualKeys) -> None:
        self._pool = pool
        self._clock = clock
        self._keys = virtual_keys

    async def put(self, by: Actor, key_id: str, every_days: int, grace_seconds: int) -> RotationSchedule:
        """Set a key's schedule; the first secret is replaced after `every_days`."""
        async with self._pool.acquire() as connection, connection.transaction():
            await self._changeable(connection, by, key_id)
            now = self._clock.now()
            schedule = scheduled(key_id, every_days, grace_seconds, by.id, now)
            await key_rotations.put(connection, schedule)
            detail = {"every_days": str(every_days), "grace_seconds": str(grace_seconds)}
            await record(connection, Act(by, "key.rotation_scheduled", key_id, detail), now)
        return schedule

    async def schedule(self, by: Actor, key_id: str) -> RotationSchedule:
        """A key's schedule. KeyNotFound, NoSchedule."""
        await self._keys.key(by, key_id)
        async with self._pool.acquire() as connection:
            found = await key_rotations.of_key(connection, key_id)
        if found is None:
            raise NoSchedule("this key has no rotation schedule")
        return found

    async def remove(self, by: Actor, key_id: str) -> None:
        """End a key's schedule; a secret that was given an end keeps it. KeyNotFound, NoSchedule."""
        async with self._pool.acquire() as connection, connection.transaction():
            await self._changeable(connection, by, key_id)
            if not await key_rotations.remove(connection, key_id):
                raise NoSchedule("this key has no rotation schedule")
            await record(connection, Act(by, "key.rotation_unscheduled", key_id), self._clock.now())

    async def run_due(self) -> int:
        """Give the secrets of keys whose schedule fell due their end, tell their owners, and remind those who do not
        come; how many schedules fell due."""
        async with self._pool.acquire() as connection:
            due = await key_rotations.due(connection, self._clock.now(), _AT_ONCE)
        for key_id in due:
            await self._fall_due(key_id)
        await self._remind()
        if due:
            log.info("rotations_due", keys=len(due))
        return len(due)

    async def _fall_due(self, key_id: str) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await keys.lock(connection, [key_id])
            now = self._clock.now()
            schedule = await key_rotations.note_due(connection, key_id, now)
            if schedule is None or schedule.secret_ends_at is None:
                return
            await keys.end_current_secret(connection, key_id, schedule.secret_ends_at)
            [key] = await keys.find(connection, [key_id], now)
            ends_at = schedule.secret_ends_at
            await record(connection, Act(SYSTEM, "key.rotation_due", key_id, {"ends_at": ends_at.isoformat()}), now)
            told = key_messages.reminded(key, "rotation_due", ends_at, now)
            await add(connection, [*key_messages.updated(key, ("secrets",), now), told])

    async def _remind(self) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            now = self._clock.now()
            waiting = {one.key_id: one.secret_ends_at for one in await key_rotations.remind(connection, now, _AT_ONCE)}
            found = await keys.find(connection, list(waiting), now)
            told = [
                key_messages.reminded(key, "secret_ends", ends_at, now)
                for key in found
                if (ends_at := waiting[key.id]) is not None
            ]
            await add(connection, told)

    async def _changeable(self, connection: Connection, by: Actor, key_id: str) -> VirtualKey:
        """The key whose schedule somebody may change, locked."""
        await keys.lock(connection, [key_id])
        key = await self._keys.own(connection, by, key_id)
        present = await key_rotations.of_key(connection, key_id)
        if present is not None and present.set_by != by.id and not by.is_admin:
            raise OnlyAdmins("rotation: only an admin may change what an admin has set")
        return key
