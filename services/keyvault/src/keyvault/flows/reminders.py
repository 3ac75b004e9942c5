"""Reminding people of provider keys: each reason is told once for each version of a key, as an event."""

from __future__ import annotations

from common.clock import Clock
from common.contracts.changes import CredentialReminder
from common.postgres.outbox import add
from common.postgres.pool import Pool

from keyvault.domain.credentials import Credential
from keyvault.domain.reminders import ReminderRules, reminders_of
from keyvault.flows import credential_messages
from keyvault.store import reminders

_AT_ONCE = 500


class Reminders:
    """The journey through all provider keys."""

    def __init__(self, pool: Pool, clock: Clock, rules: ReminderRules) -> None:
        self._pool = pool
        self._clock = clock
        self._rules = rules

    def of(self, credential: Credential) -> list[CredentialReminder]:
        """What there is to say of a credential now."""
        return reminders_of(credential, self._rules, self._clock.now())

    async def run(self) -> int:
        """Tell what was not told yet; how many times."""
        told, after_id = 0, ""
        while True:
            async with self._pool.acquire() as connection, connection.transaction():
                found = await reminders.in_use(connection, after_id, _AT_ONCE)
                now = self._clock.now()
                messages = [
                    credential_messages.reminded(credential, reason, now)
                    for credential in found
                    for reason in reminders_of(credential, self._rules, now)
                    if await reminders.note(connection, credential.id, credential.version, reason, now)
                ]
                await add(connection, messages)
            told += len(messages)
            if len(found) < _AT_ONCE:
                return told
            after_id = found[-1].id
