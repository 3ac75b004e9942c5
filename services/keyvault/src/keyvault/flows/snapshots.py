"""Making the buckets say again what the tables say, should they have lost it (a NATS volume gone, a bucket emptied).

What a bucket holds is compared by digest, and only differences are told. They go through the outbox under the rows'
locks, so that an older state can never overtake a newer one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from common.clock import Clock
from common.contracts.snapshots import TokenRevocation, UserSessions
from common.contracts.topology import CREDENTIALS_BUCKET, KEYS_BUCKET, SESSIONS_BUCKET
from common.postgres.outbox import Message, add, removal, snapshot
from common.postgres.pool import Connection, Pool

from keyvault.domain import accounts
from keyvault.domain import credentials as credential_rules
from keyvault.domain import teams as team_rules
from keyvault.domain import virtual_keys as key_rules
from keyvault.store import credentials, keys, sessions, teams, users

_AT_ONCE = 500

Held = Mapping[str, bytes]
"""What a bucket holds: the digest of each key's value."""


def digest(body: bytes) -> bytes:
    """By what snapshots are compared."""
    return hashlib.sha256(body).digest()


class Snapshots:
    """The journeys of one bucket each; each returns how many snapshots had to be told again."""

    def __init__(self, pool: Pool, clock: Clock, *, simulator_url: str | None) -> None:
        self._pool = pool
        self._clock = clock
        self._simulator_url = simulator_url

    async def restore_keys(self, held: Held) -> int:
        """Bucket `keys`: every key that is not revoked, every user who has limits, every team, and no other."""
        async with self._pool.acquire() as connection:
            key_ids = await keys.live_ids(connection)
            user_ids = await users.with_limits(connection)
            team_ids = await teams.live_ids(connection)
        told = 0
        for prefix, ids, restore in (
            ("user.", user_ids, self._restore_users),
            ("team.", team_ids, self._restore_teams),
        ):
            among = {*ids, *(name.removeprefix(prefix) for name in held if name.startswith(prefix))}
            told += sum([await restore(chunk, held) for chunk in _chunks(among)])
        among = {*key_ids, *(name for name in held if not name.startswith(("user.", "team.")))}
        return told + sum([await self._restore_keys(chunk, held) for chunk in _chunks(among)])

    async def restore_credentials(self, held: Held) -> int:
        """Bucket `credentials`: every credential that was not removed, and no other."""
        async with self._pool.acquire() as connection:
            ids = set(await credentials.active_ids(connection)) | held.keys()
        return sum([await self._restore_credentials(chunk, held) for chunk in _chunks(ids)])

    async def restore_sessions(self, held: Held) -> int:
        """Bucket `sessions`: signing keys, revoked tokens, ends of sessions, and nothing else."""
        bucket, now = SESSIONS_BUCKET.name, self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            ended = await users.with_ended_sessions(connection)
            states = [snapshot(bucket, f"key.{key.kid}", key) for key in await sessions.signing_keys(connection)]
            for token_id, expires_at in (await sessions.revoked_tokens(connection, now)).items():
                states.append(snapshot(bucket, f"revoked.{token_id}", TokenRevocation(expires_at=expires_at)))
            for user in ended:
                if user.sessions_not_before is not None:
                    state = UserSessions(not_before=user.sessions_not_before)
                    states.append(snapshot(bucket, f"user.{user.id}", state))
            return await _tell(connection, bucket, states, held, held)

    async def _restore_keys(self, ids: Sequence[str], held: Held) -> int:
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            await keys.lock(connection, ids)
            found = [key for key in await keys.find(connection, ids, now) if key.revoked_at is None]
            states = [snapshot(KEYS_BUCKET.name, key.id, key_rules.snapshot_of(key, now)) for key in found]
            return await _tell(connection, KEYS_BUCKET.name, states, held, ids)

    async def _restore_users(self, ids: Sequence[str], held: Held) -> int:
        bucket = KEYS_BUCKET.name
        async with self._pool.acquire() as connection, connection.transaction():
            found = [user for user in await users.hold_all(connection, ids) if user.has_limits]
            states = [snapshot(bucket, f"user.{user.id}", accounts.snapshot_of(user)) for user in found]
            return await _tell(connection, bucket, states, held, [f"user.{user_id}" for user_id in ids])

    async def _restore_teams(self, ids: Sequence[str], held: Held) -> int:
        bucket = KEYS_BUCKET.name
        async with self._pool.acquire() as connection, connection.transaction():
            found = await teams.lock(connection, ids)
            states = [snapshot(bucket, f"team.{team.id}", team_rules.snapshot_of(team)) for team in found]
            return await _tell(connection, bucket, states, held, [f"team.{team_id}" for team_id in ids])

    async def _restore_credentials(self, ids: Sequence[str], held: Held) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            found = [row for row in await credentials.lock(connection, ids) if row.status == "active"]
            states = [
                snapshot(CREDENTIALS_BUCKET.name, row.id, credential_rules.snapshot_of(row, self._simulator_url))
                for row in found
            ]
            return await _tell(connection, CREDENTIALS_BUCKET.name, states, held, ids)


async def _tell(
    connection: Connection, bucket: str, states: Sequence[Message], held: Held, among: Iterable[str]
) -> int:
    """Tell the states that a bucket does not hold, and what of `among` it holds that should not be there."""
    wanted = {state.key for state in states}
    messages = [state for state in states if held.get(state.key) != digest(state.body)]
    messages += [removal(bucket, name) for name in among if name in held and name not in wanted]
    await add(connection, messages)
    return len(messages)


def _chunks(ids: Iterable[str]) -> list[list[str]]:
    ordered = sorted(ids)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
