"""Delivering secrets: to the gateway and catalog-sync, sealed to the key that each names, and audited first.

No audit row, no secret: the row is committed before anything is decrypted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import structlog
from common.clock import Clock
from common.errors import Unprocessable
from common.postgres.pool import Pool
from common.secret import seal

from keyvault.domain.actors import Actor
from keyvault.domain.audit import Act
from keyvault.domain.credentials import Credential, CredentialNotFound
from keyvault.domain.encryption import Keyring, SecretUnreadable
from keyvault.flows.audit_trail import record
from keyvault.store import credentials

log = structlog.get_logger()

RecipientService = Literal["gateway", "catalog-sync"]


class NoRecipient(Unprocessable):
    """What should be the recipient's public key is none."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A secret that only its recipient can open."""

    credential_id: str
    version: int
    sealed: str


class Deliveries:
    """The journeys of secrets out of here."""

    def __init__(self, pool: Pool, clock: Clock, keyring: Keyring) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring

    async def open(self, service: RecipientService, credential_id: str, recipient: str, origin: str | None) -> Delivery:
        """A credential's present secret for a service; CredentialNotFound when it is not there for that service."""
        by = Actor(f"service:{service}", origin=origin)
        async with self._pool.acquire() as connection, connection.transaction():
            credential = await credentials.by_id(connection, credential_id)
            if credential is None or not _is_for(service, credential):
                raise CredentialNotFound("there is no such credential")
            detail = {"provider": credential.provider_type, "version": str(credential.version), "recipient": recipient}
            await record(connection, Act(by, "credential.opened", credential.id, detail), self._clock.now())
        return self._sealed(credential, recipient)

    def _sealed(self, credential: Credential, recipient: str) -> Delivery:
        try:
            secret = self._keyring.decrypt(credential.ciphertext or "", credential.binding)
        except SecretUnreadable:
            log.error("credential_unreadable", credential_id=credential.id, version=credential.version)
            raise
        try:
            sealed = seal(secret, recipient, f"{credential.id}/{credential.version}")
        except ValueError as error:
            raise NoRecipient("recipient: not an X25519 public key") from error
        return Delivery(credential.id, credential.version, sealed)


def _is_for(service: RecipientService, credential: Credential) -> bool:
    """catalog-sync lists models with the operator's keys; users' own are for the gateway alone."""
    is_in_force = credential.enabled and credential.status == "active"
    return is_in_force and (service == "gateway" or credential.owner_user_id is None)
