"""Journeys of provider instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from common.actors import Actor
from common.contracts.topology import CATALOG_BUCKET
from common.errors import Conflict, NotFound
from common.ids import uuid7
from common.postgres.outbox import Message, add, removal, snapshot
from common.postgres.pool import Connection

from catalog_sync.domain.aliases import NameTaken
from catalog_sync.domain.providers import Provider, check_provider, defaults
from catalog_sync.domain.snapshots import provider_key, provider_snapshot
from catalog_sync.flows.transactions import Transactions, audited
from catalog_sync.store import aliases, providers

Edit = Callable[[Provider], Provider]


class InUse(Conflict):
    """Something else leads here."""

    code = "in_use"


class ProviderFlows(Transactions):
    """Provider instances: the default ones, and those that admins make."""

    async def make_default_providers(self) -> int:
        """Add the default instance of each provider type that lacks it; returns how many were added."""
        async with self._writing() as connection:
            held = {provider.id for provider in await providers.all_providers(connection)}
            missing = [provider for provider in defaults(self._clock.now()) if provider.id not in held]
            for provider in missing:
                await providers.insert_provider(connection, provider)
            await add(connection, [_told(provider) for provider in missing])
        return len(missing)

    async def list_providers(self, after_name: str | None, limit: int) -> list[Provider]:
        """Instances by name."""
        async with self._reading() as connection:
            return await providers.page_of_providers(connection, after_name, limit)

    async def show_provider(self, provider_id: str) -> Provider:
        """One instance; NotFound."""
        async with self._reading() as connection:
            return await _found(connection, provider_id)

    async def add_provider(self, actor: Actor, make: Callable[[Provider], Provider]) -> tuple[Provider, int]:
        """Add an instance: `make` fills in an empty one. UnknownProviderType, WrongConfiguration, NameTaken."""
        now = self._clock.now()
        provider = check_provider(make(Provider(uuid7(), "", "", "", now, now)))
        async with self._writing() as connection:
            await _refuse_taken_name(connection, provider)
            await providers.insert_provider(connection, provider)
            told = [_told(provider), audited(actor, "provider.created", provider.id, now, name=provider.name)]
            return provider, await add(connection, told)

    async def change_provider(self, actor: Actor, provider_id: str, edit: Edit) -> tuple[Provider, int]:
        """Change an instance. NotFound, WrongConfiguration, NameTaken; a default one keeps its name (Conflict)."""
        now = self._clock.now()
        async with self._writing() as connection:
            before = await _found(connection, provider_id)
            provider = check_provider(replace(edit(before), updated_at=now))
            if provider.name != before.name:
                await _refuse_rename(connection, before, provider)
            await providers.update_provider(connection, provider)
            told = [_told(provider), audited(actor, "provider.updated", provider.id, now, name=provider.name)]
            return provider, await add(connection, told)

    async def remove_provider(self, actor: Actor, provider_id: str) -> int:
        """Remove an instance that is no default and that no alias leads to. NotFound, InUse."""
        async with self._writing() as connection:
            provider = await _found(connection, provider_id)
            if provider.is_default:
                raise InUse(f"{provider.name} is the default instance of its type: disable it instead")
            await _refuse_used(connection, provider)
            await providers.delete_provider(connection, provider.id)
            gone = removal(CATALOG_BUCKET.name, provider_key(provider.id))
            act = audited(actor, "provider.removed", provider.id, self._clock.now(), name=provider.name)
            return await add(connection, [gone, act])


def _told(provider: Provider) -> Message:
    return snapshot(CATALOG_BUCKET.name, provider_key(provider.id), provider_snapshot(provider))


async def _found(connection: Connection, provider_id: str) -> Provider:
    provider = await providers.provider_by_id(connection, provider_id)
    if provider is None:
        raise NotFound("no such provider")
    return provider


async def _refuse_taken_name(connection: Connection, provider: Provider) -> None:
    if any(other.name == provider.name for other in await providers.all_providers(connection)):
        raise NameTaken(f"there is a provider named {provider.name} already")


async def _refuse_rename(connection: Connection, before: Provider, after: Provider) -> None:
    if before.is_default:
        raise InUse(f"{before.name} is the default instance of its type and keeps its name")
    await _refuse_taken_name(connection, after)
    await _refuse_used(connection, before)


async def _refuse_used(connection: Connection, provider: Provider) -> None:
    leading = await aliases.aliases_leading_to(connection, provider.name)
    if leading:
        raise InUse(f"aliases lead to {provider.name}: {', '.join(leading[:10])}")
