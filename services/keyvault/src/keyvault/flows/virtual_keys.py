"""Virtual keys: made, shown, changed, rotated, revoked.

Each change is one transaction of the row, its audit entry, its snapshot and its event. What decides whether a key is let
in goes to Redis after the commit and before the answer (`refusals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from common.clock import Clock
from common.errors import Unprocessable
from common.ids import uuid7
from common.postgres.outbox import Message, add
from common.postgres.pool import Connection, Pool
from common.secret import Secret

from keyvault.domain.actors import Actor
from keyvault.domain.audit import Act
from keyvault.domain.key_text import generate_key, last4_of, sha256_of
from keyvault.domain.virtual_keys import (
    KeyNotFound,
    KeyTaken,
    KeyTerms,
    LiveSecret,
    OnlyAdmins,
    VirtualKey,
    end_at_rotation,
    refuse_admin_members,
    refuse_raises,
    refuse_switching_on,
    with_changes,
)
from keyvault.flows import key_messages
from keyvault.flows.audit_trail import record
from keyvault.flows.refusals import Refusals
from keyvault.store import key_rotations, keys, teams, users


class OwnerUnknown(Unprocessable):
    """The user that a key should belong to does not exist."""


class TeamUnknown(Unprocessable):
    """The team that a key should be in does not exist."""


class VirtualKeys:
    """The journeys of virtual keys. `by` sees own keys, an admin all."""

    def __init__(self, pool: Pool, clock: Clock, refusals: Refusals) -> None:
        self._pool = pool
        self._clock = clock
        self._refusals = refusals

    async def create(
        self, by: Actor, given: Mapping[str, Any], imported: Secret | None = None
    ) -> tuple[VirtualKey, Secret, int]:
        """Make a key with the terms given; the key, its one secret, and the outbox row that tells everybody."""
        if not by.is_admin:
            refuse_admin_members(given.keys() | ({"key"} if imported is not None else set()))
        terms = KeyTerms(**{"user_id": by.id, **given})
        secret = imported or generate_key()
        async with self._pool.acquire() as connection, connection.transaction():
            await _hold_owner(connection, terms.user_id)
            await _hold_team(connection, terms.team_id)
            now = self._clock.now()
            key = VirtualKey(uuid7(), terms, now, now, disabled_by=None if terms.enabled else by.id)
            await keys.insert(connection, key)
            await _give_secret(connection, key.id, secret, now)
            [key] = await keys.find(connection, [key.id], now)
            detail = {"name": terms.name, "user_id": str(terms.user_id), "imported": str(imported is not None).lower()}
            act = Act(by, "key.created", key.id, detail)
            return key, secret, await _tell(connection, act, key_messages.created(key, now), now)

    async def page(self, user_id: str | None, before_id: str | None, limit: int) -> list[VirtualKey]:
        """Keys that are not revoked, the newest first: of one user, or all."""
        async with self._pool.acquire() as connection:
            key_ids = await keys.page(connection, user_id, before_id, limit)
            found = {key.id: key for key in await keys.find(connection, key_ids, self._clock.now())}
        return [found[key_id] for key_id in key_ids if key_id in found]

    async def key(self, by: Actor, key_id: str) -> VirtualKey:
        """One key that is not revoked; KeyNotFound also for somebody else's."""
        async with self._pool.acquire() as connection:
            return await self.own(connection, by, key_id)

    async def change(self, by: Actor, key_id: str, given: Mapping[str, Any]) -> tuple[VirtualKey, int]:
        """Set some terms; the key, and the outbox row that tells everybody."""
        if not by.is_admin:
            refuse_admin_members(given.keys())
        async with self._pool.acquire() as connection, connection.transaction():
            await _hold_owner(connection, given.get("user_id"))  # users are locked first everywhere,
            await _hold_team(connection, given.get("team_id"))  # then teams, then keys
            await keys.lock(connection, [key_id])
            old = await self.own(connection, by, key_id)
            terms, changed = with_changes(old.terms, given)
            if not changed:
                return old, 0
            if not by.is_admin:
                refuse_raises(old.terms, terms)
                refuse_switching_on(old, terms, by.id)
            now = self._clock.now()
            await keys.update_terms(connection, _changed(old, terms, by, now))
            [key] = await keys.find(connection, [key_id], now)
            if key.is_refused != old.is_refused:
                await keys.mark_refusals_pending(connection, [key_id])
            act = Act(by, "key.changed", key.id, {"changed": ", ".join(changed)})
            outbox_id = await _tell(connection, act, key_messages.updated(key, changed, now), now)
        if key.is_refused != old.is_refused:
            await self._refusals.settle([key_id])
        return key, outbox_id

    async def rotate(self, by: Actor, key_id: str, grace_seconds: int | None) -> tuple[VirtualKey, Secret, int]:
        """Give a key a new secret; the present one counts for the grace period (a day, or what a schedule has left it), one
        before it no longer."""
        secret = generate_key()
        async with self._pool.acquire() as connection, connection.transaction():
            await keys.lock(connection, [key_id])
            old = await self.own(connection, by, key_id)
            now = self._clock.now()
            for live in old.secrets:
                ends_at = end_at_rotation(live, old.secrets[-1], now, grace_seconds)
                await keys.end_secret(connection, live.sha256, ends_at)
            await _give_secret(connection, key_id, secret, now)
            await key_rotations.begin_anew(connection, key_id, now)
            [key] = await keys.find(connection, [key_id], now)
            ends_at = next((live.expires_at for live in key.secrets if live.expires_at is not None), now)
            act = Act(by, "key.rotated", key.id, {"previous_ends_at": ends_at.isoformat()})
            return key, secret, await _tell(connection, act, key_messages.updated(key, ("secrets",), now), now)

    async def revoke(self, by: Actor, key_id: str) -> int:
        """End a key for good, at every gateway before this returns. Doing it again changes nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            await keys.lock(connection, [key_id])
            key = await self.own(connection, by, key_id, even_revoked=True)
            now, outbox_id = self._clock.now(), 0
            if key.revoked_at is None:
                await keys.revoke(connection, key_id, now)
                act = Act(by, "key.revoked", key.id, {"name": key.terms.name})
                outbox_id = await _tell(connection, act, key_messages.revoked(key, now), now)
        await self._refusals.settle([key_id])
        return outbox_id

    async def own(self, connection: Connection, by: Actor, key_id: str, *, even_revoked: bool = False) -> VirtualKey:
        """One key, read in a caller's transaction; KeyNotFound also for somebody else's."""
        for key in await keys.find(connection, [key_id], self._clock.now()):
            is_theirs = by.is_admin or key.terms.user_id == by.id
            if is_theirs and (even_revoked or key.revoked_at is None):
                return key
        raise KeyNotFound("there is no such key")


def visible_owner(by: Actor, asked_for: str | None) -> str | None:
    """Whose keys a list may show: an admin's choice, else one's own."""
    if by.is_admin or asked_for == by.id:
        return asked_for
    if asked_for is not None:
        raise OnlyAdmins("user_id: only an admin may see other users' keys")
    return by.id


def _changed(old: VirtualKey, terms: KeyTerms, by: Actor, now: datetime) -> VirtualKey:
    disabled_by = old.disabled_by
    if terms.enabled != old.terms.enabled:
        disabled_by = None if terms.enabled else by.id
    return replace(old, terms=terms, disabled_by=disabled_by, updated_at=now)


async def _hold_owner(connection: Connection, user_id: str | None) -> None:
    if user_id is not None and await users.hold(connection, user_id) is None:
        raise OwnerUnknown("user_id: there is no such user")


async def _hold_team(connection: Connection, team_id: str | None) -> None:
    if team_id is not None and await teams.hold(connection, team_id) is None:
        raise TeamUnknown("team_id: there is no such team")


async def _give_secret(connection: Connection, key_id: str, secret: Secret, now: datetime) -> None:
    if not await keys.insert_secret(connection, key_id, LiveSecret(sha256_of(secret), last4_of(secret), now)):
        raise KeyTaken("key: this key is taken")


async def _tell(connection: Connection, act: Act, messages: Sequence[Message], now: datetime) -> int:
    await record(connection, act, now)
    return await add(connection, messages)
