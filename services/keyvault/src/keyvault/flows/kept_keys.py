"""Provider keys that an operator keeps in a secrets manager: read at start and every so often, so that a rotation there is
one here within minutes."""

from __future__ import annotations

from collections.abc import Mapping

from common.providers.registry import PROVIDERS
from common.secret import Secret

from keyvault.flows.provider_keys import NOTHING_KEPT, KeptKeys, ProviderKeys
from keyvault.sources.shelf import Shelf


class KeptSecrets:
    """The journey from a secrets manager (None: there is none) into our own table. `given`: what the environment gives."""

    def __init__(self, keys: ProviderKeys, shelf: Shelf | None, given: Mapping[str, Secret]) -> None:
        self._keys = keys
        self._shelf = shelf
        self._given = given

    async def take(self) -> int:
        """Make the system's credentials what environment and secrets manager say; the outbox row that tells of it."""
        return await self._keys.take_environment(self._given, await self._kept())

    async def refresh(self) -> None:
        """The same, where there is a secrets manager to be asked again."""
        if self._shelf is not None:
            await self.take()

    async def _kept(self) -> KeptKeys:
        if self._shelf is None:
            return NOTHING_KEPT
        names = {row.env: row.type for row in PROVIDERS.values() if row.env}
        held = await self._shelf.held(sorted(names))
        secrets = {names[name]: secret for name, secret in held.secrets.items()}
        return KeptKeys(secrets, frozenset(names[name] for name in held.unknown if name in names))
