"""What everybody needs to verify sessions: our public key, and forgetting what has run out."""

from __future__ import annotations

from datetime import timedelta

from common.clock import Clock
from common.contracts.topology import SESSIONS_BUCKET
from common.postgres.outbox import add, removal, snapshot
from common.postgres.pool import Pool

from keyvault.domain.tokens import SESSION_SECONDS, TokenSigner
from keyvault.store import identities, sessions, users

_MARGIN_SECONDS = 3600
"""Longer than clocks differ, and than a replica with the former key goes on signing."""
_FORGOTTEN_AT_ONCE = 1_000


class SessionKeeping:
    """The journeys of the bucket `sessions` that nobody asks for."""

    def __init__(self, pool: Pool, clock: Clock, signer: TokenSigner) -> None:
        self._pool = pool
        self._clock = clock
        self._signer = signer

    async def publish_signing_key(self) -> int:
        """Tell everybody the public key; former keys are retired, and forgotten once their tokens have run out."""
        now = self._clock.now()
        key = self._signer.snapshot()
        async with self._pool.acquire() as connection, connection.transaction():
            await sessions.add_signing_key(connection, key, now)
            await sessions.retire_other_signing_keys(connection, key.kid, now)
            return await add(connection, [snapshot(SESSIONS_BUCKET.name, f"key.{key.kid}", key)])

    async def forget_expired(self) -> int:
        """Forget revocations, ends of sessions and keys that no living token needs; how many."""
        now = self._clock.now()
        oldest = now - timedelta(seconds=SESSION_SECONDS + _MARGIN_SECONDS)
        expired = now - timedelta(seconds=_MARGIN_SECONDS)
        async with self._pool.acquire() as connection, connection.transaction():
            tokens = await sessions.forget_revoked_tokens(connection, expired, _FORGOTTEN_AT_ONCE)
            user_ids = await users.forget_ended_sessions(connection, oldest)
            kids = await sessions.forget_signing_keys(connection, oldest)
            await identities.forget_ended_logins(connection, expired)
            gone = [f"revoked.{token}" for token in tokens]
            gone += [f"user.{user_id}" for user_id in user_ids] + [f"key.{kid}" for kid in kids]
            await add(connection, [removal(SESSIONS_BUCKET.name, name) for name in gone])
        return len(gone)
