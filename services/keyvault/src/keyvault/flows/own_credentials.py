"""Users' own credentials: given, shown, changed, removed, tried; and what calls tell of them.

Giving one does not call the provider; trying one does. The owner's row is locked while one of their credentials
changes, so that there is never a second active one for a provider nor a second default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from common.clock import Clock
from common.ids import uuid7
from common.postgres.outbox import Message, add
from common.postgres.pool import Connection, Pool
from common.secret import Secret

from keyvault.domain.actors import SYSTEM, Actor
from keyvault.domain.audit import Act
from keyvault.domain.credentials import (
    Credential,
    CredentialNotFound,
    is_simulators,
    provider_row,
)
from keyvault.domain.encryption import Keyring
from keyvault.domain.key_text import last4_of
from keyvault.domain.own_credentials import (
    OwnGiven,
    Verdict,
    heir_of,
    is_first_default,
    refuse_second_active,
    refuse_too_many,
    with_change,
)
from keyvault.flows import credential_messages
from keyvault.flows.audit_trail import record
from keyvault.flows.trials import Trials
from keyvault.probes import ProbeResult
from keyvault.store import credentials, own_credentials, users


class OwnCredentials:
    """The journeys of users' credentials. `by` reaches their own and nobody else's."""

    def __init__(self, pool: Pool, clock: Clock, keyring: Keyring, trials: Trials) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring
        self._trials = trials
        self._simulator_url = trials.simulator_url

    async def give(self, by: Actor, given: OwnGiven) -> tuple[Credential, int]:
        """Keep a credential; it, and the outbox row that tells everybody."""
        row = provider_row(given.provider)
        base_url = self._trials.checked_url(row, given.base_url, given.secret)
        async with self._pool.acquire() as connection, connection.transaction():
            await users.lock(connection, by.id)
            kept = await own_credentials.of_owner(connection, by.id)
            refuse_second_active(kept, row.type)
            refuse_too_many(kept)
            now = self._clock.now()
            made = Credential(
                id=uuid7(), provider_type=row.type, owner_user_id=by.id, name=given.name or row.display_name,
                ciphertext=None, version=1, last4=last4_of(given.secret), base_url=base_url,
                on_simulator=is_simulators(given.secret), enabled=True, status="active", source="api",
                created_at=now, updated_at=now, secret_at=now, expires_at=given.expires_at,
                is_default=is_first_default(kept, given.is_default),
                fallback_to_system=given.fallback_to_system,
            )  # fmt: skip
            made = self._trials.sealed(made, given.secret)
            messages = await self._others_no_default(connection, made)
            await credentials.insert(connection, made, self._keyring.current_kid)
            return made, await self._tell(connection, by, "credential.created", made, messages)

    async def mine(self, by: Actor) -> list[Credential]:
        """The caller's credentials, the newest first."""
        async with self._pool.acquire() as connection:
            return await own_credentials.of_owner(connection, by.id)

    async def change(
        self, by: Actor, credential_id: str, change: Mapping[str, Any], secret: Secret | None
    ) -> tuple[Credential, int]:
        """Set some members, or a new secret; the credential, and the outbox row that tells everybody."""
        async with self._pool.acquire() as connection, connection.transaction():
            kept, old = await self._locked(connection, by, credential_id)
            forgotten = {} if secret is None else {"expires_at": None}  # said of the secret before
            changed = with_change(old, {**forgotten, **change})
            if changed == old and secret is None:
                return old, 0
            if changed.enabled and not old.enabled:
                refuse_second_active(kept, old.provider_type, except_id=old.id)
            changed = replace(changed, updated_at=self._clock.now())
            messages = await self._others_no_default(connection, changed)
            await own_credentials.update(connection, changed)
            if secret is not None:
                changed = await self._with_secret(connection, changed, secret)
            if not changed.enabled:
                messages += await self._inherit(connection, kept, old)
            return changed, await self._tell(connection, by, "credential.changed", changed, messages)

    async def remove(self, by: Actor, credential_id: str) -> int:
        """End a credential and destroy its secret; its row stays for the trail."""
        async with self._pool.acquire() as connection, connection.transaction():
            kept, old = await self._locked(connection, by, credential_id)
            now = self._clock.now()
            await credentials.remove(connection, old.id, now)
            messages = await self._inherit(connection, kept, old)
            await record(connection, _act(by, "credential.removed", old), now)
            return await add(connection, [*credential_messages.removed(old, now), *messages])

    async def try_out(self, by: Actor, given: OwnGiven) -> ProbeResult:
        """Call the provider with a secret that is not kept. TooManyAttempts after ten in a minute."""
        row = provider_row(given.provider)
        base_url = self._trials.checked_url(row, given.base_url, given.secret)
        self._trials.count(by)
        return await self._trials.of_given(row, base_url, given.secret)

    async def validate(self, by: Actor, credential_id: str) -> tuple[Credential, ProbeResult]:
        """Call the provider with a credential, and keep whether it works. TooManyAttempts after ten in a minute."""
        async with self._pool.acquire() as connection, connection.transaction():
            kept = _own(await own_credentials.of_owner(connection, by.id), credential_id)
            self._trials.count(by)
            await record(connection, _act(by, "credential.validated", kept), self._clock.now())
        result = await self._trials.of_kept(kept)
        if result.status in ("ok", "refused"):  # anything else tells nothing of the secret
            async with self._pool.acquire() as connection:
                now = self._clock.now()
                await own_credentials.note_validation(connection, kept.id, kept.version, now, result.success)
        return kept, result

    async def judge(self, connection: Connection, verdicts: Mapping[str, Verdict]) -> None:
        """Keep what calls tell of credentials, within a transaction; owners of those that turned invalid are told."""
        for turned in await own_credentials.judge(connection, verdicts):
            now = self._clock.now()
            await record(connection, _act(SYSTEM, "credential.refused_by_provider", turned), now)
            await add(connection, [credential_messages.invalid(turned, verdicts[turned.id].at, now)])

    async def _locked(
        self, connection: Connection, by: Actor, credential_id: str
    ) -> tuple[list[Credential], Credential]:
        await users.lock(connection, by.id)
        kept = await own_credentials.lock_of_owners(connection, [by.id])
        return kept, _own(kept, credential_id)

    async def _with_secret(self, connection: Connection, old: Credential, secret: Secret) -> Credential:
        self._trials.checked_url(provider_row(old.provider_type), old.base_url, secret)
        following = replace(
            old, version=old.version + 1, last4=last4_of(secret), on_simulator=is_simulators(secret),
            verdict="unvalidated", last_validated_at=None, secret_at=old.updated_at,
        )  # fmt: skip
        following = self._trials.sealed(following, secret)
        await credentials.replace(connection, following, self._keyring.current_kid)
        return following

    async def _others_no_default(self, connection: Connection, chosen: Credential) -> list[Message]:
        if not chosen.is_default or chosen.owner_user_id is None:
            return []
        others = await own_credentials.take_default_away(connection, chosen.owner_user_id, chosen.id)
        return [self._state(other) for other in others]

    async def _inherit(self, connection: Connection, kept: list[Credential], gone: Credential) -> list[Message]:
        heir = heir_of(kept, gone)
        if heir is None:
            return []
        heir = replace(heir, is_default=True)
        await own_credentials.update(connection, heir)
        return [self._state(heir)]

    def _state(self, credential: Credential) -> Message:
        return credential_messages.state(credential, self._simulator_url)

    async def _tell(
        self, connection: Connection, by: Actor, action: str, credential: Credential, messages: list[Message]
    ) -> int:
        now = credential.updated_at
        await record(connection, _act(by, action, credential), now)
        return await add(connection, [*messages, *credential_messages.changed(credential, self._simulator_url, now)])


def _own(kept: list[Credential], credential_id: str) -> Credential:
    for credential in kept:
        if credential.id == credential_id:
            return credential
    raise CredentialNotFound("there is no such credential")


def _act(by: Actor, action: str, credential: Credential) -> Act:
    detail = {"provider": credential.provider_type, "version": str(credential.version)}
    return Act(by, action, credential.id, detail)
