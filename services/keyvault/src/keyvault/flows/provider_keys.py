"""System credentials: the operator's own key with each provider.

One a provider. It comes from an admin (`api`), from the environment at start, from a secrets manager, or is the simulator's
stand-in; in this order of strength: a key that a person gave is not replaced by the environment's, and any real key
replaces a stand-in. What a secrets manager cannot say for certain changes nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import structlog
from common.clock import Clock
from common.ids import uuid7
from common.postgres.outbox import Message, add
from common.postgres.pool import Connection, Pool
from common.providers.registry import PROVIDERS, ProviderRow
from common.secret import Secret

from keyvault.domain.actors import SYSTEM, Actor
from keyvault.domain.audit import Act
from keyvault.domain.credentials import (
    Credential,
    CredentialNotFound,
    Source,
    is_simulators,
    provider_row,
    stand_in_secret,
)
from keyvault.domain.encryption import Keyring, SecretUnreadable
from keyvault.domain.key_text import last4_of
from keyvault.flows import credential_messages
from keyvault.flows.audit_trail import record
from keyvault.flows.trials import Trials
from keyvault.probes import ProbeResult
from keyvault.store import credentials

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Given:
    """A key that somebody gives for a provider, and where it is to be used."""

    secret: Secret
    source: Source
    name: str = ""
    base_url: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeptKeys:
    """The keys that a secrets manager keeps, by provider type; of those in `unknown` it could not tell."""

    secrets: Mapping[str, Secret]
    unknown: frozenset[str] = frozenset()


NOTHING_KEPT = KeptKeys(MappingProxyType({}))


class ProviderKeys:
    """The journeys of system credentials."""

    def __init__(self, pool: Pool, clock: Clock, keyring: Keyring, trials: Trials) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring
        self._trials = trials
        self._simulator_url = trials.simulator_url

    async def check_master_keys(self) -> None:
        """UnknownMasterKey when a stored secret could not be opened for want of its master key."""
        async with self._pool.acquire() as connection:
            self._keyring.check(await credentials.kids(connection))

    async def active(self) -> list[Credential]:
        """The credentials in force, by provider."""
        async with self._pool.acquire() as connection:
            return await credentials.active_system(connection)

    async def save(self, by: Actor, provider_type: str, given: Given) -> tuple[Credential, int]:
        """Give a provider its key, or its next one; the credential, and the outbox row that tells everybody."""
        row = provider_row(provider_type)
        given = replace(given, base_url=self._trials.checked_url(row, given.base_url, given.secret))
        async with self._pool.acquire() as connection, connection.transaction():
            await credentials.lock_system(connection)
            current = await credentials.system_of(connection, row.type)
            credential, messages = await self._put(connection, by, row, current, given)
            return credential, await add(connection, messages)

    async def remove(self, by: Actor, provider_type: str) -> int:
        """Take a provider's key away and destroy it; with the simulator on, its stand-in takes over."""
        row = provider_row(provider_type)
        async with self._pool.acquire() as connection, connection.transaction():
            await credentials.lock_system(connection)
            current = await credentials.system_of(connection, row.type)
            if current is None or current.source == "simulator":
                raise CredentialNotFound(f"{row.display_name} has no key")
            messages = await self._drop(connection, by, current)
            return await add(connection, messages + await self._stand_in(connection, row, None))

    async def take_environment(self, given: Mapping[str, Secret], kept: KeptKeys = NOTHING_KEPT) -> int:
        """Make the credentials what the environment (provider type → key), what a secrets manager keeps, and the
        simulator's being there ask for."""
        messages: list[Message] = []
        async with self._pool.acquire() as connection, connection.transaction():
            await credentials.lock_system(connection)
            current = {
                credential.provider_type: credential for credential in await credentials.active_system(connection)
            }
            for row in PROVIDERS.values():
                messages += await self._taken(connection, row, current.get(row.type), _chosen(row, given, kept))
            return await add(connection, messages)

    async def test(self, by: Actor, provider_type: str) -> ProbeResult:
        """Call the provider with its key; the result is kept. TooManyAttempts after ten in a minute."""
        row = provider_row(provider_type)
        self._trials.count(by)
        async with self._pool.acquire() as connection, connection.transaction():
            credential = await credentials.system_of(connection, row.type)
            if credential is None:
                raise CredentialNotFound(f"{row.display_name} has no key")
            await record(connection, _act(by, "provider_key.tested", credential), self._clock.now())
        result = await self._trials.of_kept(credential)
        async with self._pool.acquire() as connection:
            now = self._clock.now()
            await credentials.note_test(connection, credential.id, credential.version, now, result.success)
        return result

    async def _taken(
        self,
        connection: Connection,
        row: ProviderRow,
        current: Credential | None,
        given: Given | Literal["unsure"] | None,
    ) -> list[Message]:
        """What one provider's part of the environment changes."""
        if current is not None and current.source == "api":
            if isinstance(given, Given):
                log.debug(
                    "kept_key_ignored", provider=row.type, source=given.source, reason="an admin has given another"
                )
            return []
        if given == "unsure":
            if current is not None and current.source == "secrets_manager":
                return []
            given = None
        if given is not None:
            if current is not None and current.source == given.source and self._is_same(current, given.secret):
                return []
            return (await self._put(connection, SYSTEM, row, current, given))[1]
        messages: list[Message] = []
        if current is not None and (current.source != "simulator" or self._simulator_url is None):
            messages, current = await self._drop(connection, SYSTEM, current), None
        return messages + await self._stand_in(connection, row, current)

    async def _stand_in(self, connection: Connection, row: ProviderRow, current: Credential | None) -> list[Message]:
        """The simulator's key, for a provider without any, where there is a simulator."""
        if self._simulator_url is None or current is not None:
            return []
        given = Given(stand_in_secret(row.type), "simulator", name=f"{row.display_name} (simulated)")
        return (await self._put(connection, SYSTEM, row, None, given))[1]

    def _is_same(self, current: Credential, given: Secret) -> bool:
        try:
            kept = self._keyring.decrypt(current.ciphertext or "", current.binding)
        except SecretUnreadable:
            return False
        return hmac.compare_digest(kept.reveal().encode(), given.reveal().encode())

    async def _put(
        self, connection: Connection, by: Actor, row: ProviderRow, current: Credential | None, given: Given
    ) -> tuple[Credential, list[Message]]:
        """Write a key as a credential's first or next version."""
        now = self._clock.now()
        credential = self._trials.sealed(_next_version(row, current, given, now), given.secret)
        if current is None:
            await credentials.insert(connection, credential, self._keyring.current_kid)
        else:
            await credentials.replace(connection, credential, self._keyring.current_kid)
        await record(connection, _act(by, "provider_key.saved", credential), now)
        return credential, credential_messages.changed(credential, self._simulator_url, now)

    async def _drop(self, connection: Connection, by: Actor, current: Credential) -> list[Message]:
        now = self._clock.now()
        await credentials.remove(connection, current.id, now)
        await record(connection, _act(by, "provider_key.removed", current), now)
        return credential_messages.removed(current, now)


def _chosen(row: ProviderRow, given: Mapping[str, Secret], kept: KeptKeys) -> Given | Literal["unsure"] | None:
    """The key that a provider is to have of those that no person gave."""
    if row.type in given:
        return Given(given[row.type], "environment")
    if row.type in kept.unknown:
        return "unsure"
    return Given(kept.secrets[row.type], "secrets_manager") if row.type in kept.secrets else None


def _next_version(row: ProviderRow, current: Credential | None, given: Given, now: datetime) -> Credential:
    return Credential(
        id=current.id if current else uuid7(),
        provider_type=row.type,
        owner_user_id=None,
        name=given.name or row.display_name,
        ciphertext=None,
        version=current.version + 1 if current else 1,
        last4=last4_of(given.secret),
        base_url=given.base_url,
        on_simulator=is_simulators(given.secret),
        enabled=True,
        status="active",
        source=given.source,
        created_at=current.created_at if current else now,
        updated_at=now,
        secret_at=now,
        expires_at=given.expires_at,
        last_used_at=current.last_used_at if current else None,
    )


def _act(by: Actor, action: str, credential: Credential) -> Act:
    detail = {"provider": credential.provider_type, "version": str(credential.version), "source": credential.source}
    return Act(by, action, credential.id, detail)
