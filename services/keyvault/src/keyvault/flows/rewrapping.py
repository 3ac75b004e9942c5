"""Encrypting stored secrets anew: under the newest master key after a rotation, and those that were found plain.

Each batch is a transaction of its own with its audit row, and what is done says so by its `kid`: stopped anywhere, the
next run goes on from there, while secrets are delivered all the time. A secret's version stays, so nobody fetches it
again.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from common.clock import Clock
from common.postgres.pool import Pool
from common.secret import Secret

from keyvault.domain.actors import SYSTEM, Actor
from keyvault.domain.audit import Act
from keyvault.domain.encryption import Keyring
from keyvault.domain.key_text import last4_of
from keyvault.flows.audit_trail import record
from keyvault.store import rewrapping

log = structlog.get_logger()

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What a step did: how many secrets it encrypted anew, how many are left, under which master key they now are."""

    rewrapped: int
    remaining: int
    master_key: str


class Rewrapping:
    """The journeys of encrypting anew."""

    def __init__(self, pool: Pool, clock: Clock, keyring: Keyring) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring

    async def step(self, by: Actor, limit: int = _AT_ONCE) -> Rewrapped:
        """Bring some secrets under the newest master key. SecretUnreadable when one of them is not intact."""
        kid = self._keyring.current_kid
        async with self._pool.acquire() as connection, connection.transaction():
            stale = await rewrapping.under_other_keys(connection, kid, limit)
            for credential in stale:
                secret = self._keyring.decrypt(credential.ciphertext or "", credential.binding)
                anew = self._keyring.encrypt(secret, credential.binding)
                await rewrapping.write(connection, credential.id, anew, kid)
            if stale:
                act = Act(by, "encryption.rotated", f"master_key/{kid}", {"secrets": str(len(stale))})
                await record(connection, act, self._clock.now())
            remaining = await rewrapping.count_under_other_keys(connection, kid)
        if stale:
            log.info("secrets_rewrapped", secrets=len(stale), remaining=remaining)
        return Rewrapped(len(stale), remaining, kid)

    async def run(self) -> None:
        """Bring all secrets under the newest master key, step by step."""
        while (await self.step(SYSTEM)).rewrapped:
            pass

    async def encrypt_plain(self) -> int:
        """Encrypt secrets that stand in the table as they are; how many."""
        kid = self._keyring.current_kid
        async with self._pool.acquire() as connection, connection.transaction():
            found = await rewrapping.plain(connection)
            for credential in found:
                secret = Secret(credential.ciphertext or "")
                await rewrapping.write(
                    connection, credential.id, self._keyring.encrypt(secret, credential.binding), kid
                )
                detail = {
                    "provider": credential.provider_type,
                    "is_last4_right": str(last4_of(secret) == credential.last4),
                }
                await record(
                    connection, Act(SYSTEM, "credential.found_plain", credential.id, detail), self._clock.now()
                )
        if found:
            log.warning("plain_secrets_encrypted", secrets=len(found))
        return len(found)
