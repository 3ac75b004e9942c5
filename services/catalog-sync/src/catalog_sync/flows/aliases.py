"""Journeys of aliases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from common.actors import Actor
from common.contracts.topology import CATALOG_BUCKET
from common.errors import NotFound
from common.ids import uuid7
from common.postgres.outbox import Message, add, removal, snapshot
from common.postgres.pool import Connection

from catalog_sync.domain.aliases import Alias, NameTaken, Served, check_alias_name, check_deployments
from catalog_sync.domain.snapshots import alias_key, alias_snapshot
from catalog_sync.flows.transactions import Transactions, audited
from catalog_sync.store import aliases, models, providers

Edit = Callable[[Alias], Alias]


class AliasFlows(Transactions):
    """Names of ours that lead to deployments."""

    async def list_aliases(self, after_alias: str | None, limit: int) -> list[Alias]:
        """Aliases by name."""
        async with self._reading() as connection:
            return await aliases.page_of_aliases(connection, after_alias, limit)

    async def show_alias(self, alias_id: str) -> Alias:
        """One alias; NotFound."""
        async with self._reading() as connection:
            return await _found(connection, alias_id)

    async def add_alias(self, actor: Actor, make: Edit) -> tuple[Alias, int]:
        """Add an alias: `make` fills in an empty one. NameTaken, NotServed."""
        now = self._clock.now()
        alias = make(Alias(uuid7(), "", (), now, now))
        async with self._writing() as connection:
            await _check_name(connection, alias.alias)
            check_deployments(alias.deployments, await _served(connection))
            await aliases.insert_alias(connection, alias)
            await aliases.insert_deployments(connection, alias.id, alias.deployments)
            told = [_told(alias), audited(actor, "alias.created", alias.id, now, alias=alias.alias)]
            return alias, await add(connection, told)

    async def change_alias(self, actor: Actor, alias_id: str, edit: Edit) -> tuple[Alias, int]:
        """Change an alias. NotFound, NameTaken, NotServed."""
        now = self._clock.now()
        async with self._writing() as connection:
            before = await _found(connection, alias_id)
            alias = replace(edit(before), updated_at=now)
            if alias.alias != before.alias:
                await _check_name(connection, alias.alias)
            if alias.deployments != before.deployments:
                check_deployments(alias.deployments, await _served(connection))
            await aliases.update_alias(connection, alias)
            await aliases.delete_deployments(connection, alias.id)
            await aliases.insert_deployments(connection, alias.id, alias.deployments)
            told = [_told(alias), audited(actor, "alias.updated", alias.id, now, alias=alias.alias)]
            return alias, await add(connection, told)

    async def remove_alias(self, actor: Actor, alias_id: str) -> int:
        """Remove an alias; NotFound."""
        async with self._writing() as connection:
            alias = await _found(connection, alias_id)
            await aliases.delete_alias(connection, alias.id)
            gone = removal(CATALOG_BUCKET.name, alias_key(alias.id))
            act = audited(actor, "alias.removed", alias.id, self._clock.now(), alias=alias.alias)
            return await add(connection, [gone, act])


def _told(alias: Alias) -> Message:
    return snapshot(CATALOG_BUCKET.name, alias_key(alias.id), alias_snapshot(alias))


async def _found(connection: Connection, alias_id: str) -> Alias:
    alias = await aliases.alias_by_id(connection, alias_id)
    if alias is None:
        raise NotFound("no such alias")
    return alias


async def _check_name(connection: Connection, name: str) -> None:
    if await aliases.id_of_alias(connection, name) is not None:
        raise NameTaken(f"there is an alias {name} already")
    instances = await providers.all_providers(connection)
    prefixes = {one for provider in instances for one in (provider.name, provider.provider_type)}
    check_alias_name(name, prefixes, await models.types_serving(connection, name))


async def _served(connection: Connection) -> Served:
    types: dict[str, str] = {}
    for provider in await providers.all_providers(connection):
        types[provider.name] = types[provider.provider_type] = provider.provider_type
    names: dict[str, set[str]] = {}
    for provider_type, name, other_names in await models.served_names(connection):
        names.setdefault(provider_type, set()).update((name, *other_names))
    return Served(types, names)
