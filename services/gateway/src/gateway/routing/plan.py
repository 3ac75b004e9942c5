"""The plan of a call: which deployments to try, in which order. Pure.

A name is, in this order: an alias; `provider/name`, when its first segment is a provider type or instance; a bare name,
for which its maker's provider comes first, then others by priority.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from common.contracts.snapshots import AliasSnapshot, DeploymentSnapshot, ProviderSnapshot
from common.providers.auth import AUTH_SCHEMES, Signer, signer_of
from common.providers.registry import (
    FLAGS_OF_HEADERS,
    NEEDS_NO_KEY,
    PROVIDERS,
    ProviderRow,
    Wire,
    makers_of,
    wire_for,
)
from common.secret import Secret

from gateway.mirrors.catalog import Catalog, Model
from gateway.mirrors.credentials import Credentials
from gateway.mirrors.usable import Credential
from gateway.upstream.client import Origin, header_block, split_url


@dataclass(frozen=True, slots=True)
class Deployment:
    """One callable place: provider, model, credential, with all that can be prepared ahead of a call. `wire`: what it is
    spoken to in."""

    provider: ProviderRow
    provider_id: str
    model: Model
    model_name: str
    credential: Credential
    origin: Origin
    path: bytes
    headers: bytes = field(repr=False)
    sign: Signer | None = field(default=None, repr=False)
    priority: int = 0
    weight: int = 1
    wire: Wire = "openai"

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from others: instance, model, credential."""
        return self.provider_id, self.model_name, self.credential.id

    @property
    def is_simulated(self) -> bool:
        """Whether the simulator answers in the provider's place."""
        return self.credential.on_simulator


@dataclass(frozen=True, slots=True)
class Own:
    """A user's own credential for a provider, as the plan of that user's call takes it into account."""

    credential: Credential
    is_default: bool
    fallback_to_system: bool


class Place(NamedTuple):
    """Where a name may lead: a provider's instance, the model, its name there, and how an alias ranks it."""

    provider: ProviderSnapshot
    model: Model
    name: str
    priority: int = 0
    weight: int = 1


_NOTHING_OWN: Mapping[str, Own] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Plan:
    """The deployments for a name, best first; `alias` when the name is one; `missing` names providers that are meant
    but have no credential."""

    requested: str
    alias: str | None
    deployments: tuple[Deployment, ...]
    missing: tuple[ProviderRow, ...] = ()
    strategy: str = "priority"
    timeouts: Mapping[str, float] | None = None
    """What of `Deadlines` the alias sets for its calls, by name."""

    def with_order(self, deployments: tuple[Deployment, ...]) -> Plan:
        """The same plan in another order."""
        return replace(self, deployments=deployments)


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans from what the mirrors hold."""

    catalog: Catalog
    credentials: Credentials
    simulator_url: str | None

    @property
    def generation(self) -> tuple[int, int]:
        """Changes whenever a plan made before may no longer hold."""
        return self.catalog.generation, self.credentials.generation

    def plan(
        self, name: str, own: Mapping[str, Own] = _NOTHING_OWN, among: frozenset[str] | None = None
    ) -> Plan | None:
        """The plan for a name; None when there is no such model. `own`: the caller's credentials, by provider type;
        `among`: the only provider types that may be called."""
        alias, places = self._found(name, own)
        places = [place for place in places if among is None or place.provider.provider_type in among]
        return self._assemble(name, alias, places, own) if places or alias else None

    def provider_types(self, name: str) -> frozenset[str]:
        """The types of the providers that a name may lead to."""
        return frozenset(provider.provider_type for provider, *_ in self._found(name, _NOTHING_OWN)[1])

    def _found(self, name: str, own: Mapping[str, Own]) -> tuple[AliasSnapshot | None, list[Place]]:
        alias = self.catalog.alias(name)
        if alias is None:
            return None, self._qualified(name) or self._bare(name, own)
        ordered = sorted(alias.deployments, key=lambda deployment: (deployment.priority, -deployment.weight))
        return alias, [place for one in ordered for place in self._places(one)]

    def credential_of(self, row: ProviderRow) -> Credential | None:
        """What a provider is called with; None when there is nothing."""
        return self.credentials.of_provider(row.type) or _without_key(row)

    def _qualified(self, name: str) -> list[Place]:
        provider, slash, rest = name.partition("/")
        return self._places(DeploymentSnapshot(provider=provider, model=rest)) if slash else []

    def _bare(self, name: str, own: Mapping[str, Own]) -> list[Place]:
        """Its maker's provider, then by priority; among equals the caller's default credential, then others of theirs."""
        makers = makers_of(name)
        found = [
            (provider_type in makers, provider, model)
            for provider_type, model in self.catalog.models_named(name).items()
            for provider in self.catalog.instances(provider_type)
        ]
        found.sort(key=lambda place: (not place[0], -place[1].priority, _rank(own, place[1]), place[1].name))
        return [Place(provider, model, name) for _, provider, model in found]

    def _places(self, wanted: DeploymentSnapshot) -> list[Place]:
        return [
            Place(provider, model, wanted.model, wanted.priority, wanted.weight)
            for provider in self.catalog.instances(wanted.provider)
            if (model := self.catalog.model(provider.provider_type, wanted.model)) is not None
        ]

    def _assemble(
        self, requested: str, alias: AliasSnapshot | None, places: list[Place], own: Mapping[str, Own]
    ) -> Plan | None:
        deployments: list[Deployment] = []
        missing: list[ProviderRow] = []
        may_use_system, seen = True, set[tuple[str, str]]()
        for place in places:
            row = PROVIDERS[place[0].provider_type]
            mine = own.get(row.type)
            if mine is not None and (row.type, place[1].id) not in seen:
                seen.add((row.type, place[1].id))  # its instances differ by what the system has there
                deployments.append(self._deployment(row, place, mine.credential))
                may_use_system = may_use_system and mine.fallback_to_system
            credential = self.credential_of(row)
            if credential is None and mine is None:
                missing.append(row)
            elif credential is not None and may_use_system:
                deployments.append(self._deployment(row, place, credential))
        if not deployments and not missing:
            return None
        if alias is None:
            return Plan(requested, None, tuple(deployments), tuple(missing))
        given = alias.timeouts.model_dump(exclude_none=True)
        timeouts = {f"{name.removesuffix('_s')}_seconds": seconds for name, seconds in given.items()}
        return Plan(requested, alias.alias, tuple(deployments), tuple(missing), alias.strategy, timeouts)

    def _deployment(self, row: ProviderRow, place: Place, credential: Credential) -> Deployment:
        provider, model, model_name = place.provider, place.model, place.name
        base_url = credential.base_url or provider.base_url or row.base_url
        if credential.is_own and not credential.base_url and row.base_url:
            base_url = row.base_url  # a user's secret goes to its provider, not to an instance of the operator's
        if credential.on_simulator and self.simulator_url:
            base_url = simulated(self.simulator_url, row)
        origin, path = split_url(base_url.rstrip("/"))
        secret = credential.secret.reveal()
        instance = {} if credential.is_own else provider.headers
        own = {**dict(row.headers), **{name.lower(): value for name, value in instance.items()}}
        return Deployment(
            provider=_spoken_to(row, own),
            provider_id=provider.id,
            model=model,
            model_name=model_name,
            credential=credential,
            origin=origin,
            path=path.rstrip(b"/"),
            headers=header_block(
                [
                    *AUTH_SCHEMES[row.auth](secret),
                    (b"content-type", b"application/json"),
                    (b"accept-encoding", b"identity"),
                    *_encoded(own),
                ]
            ),
            sign=signer_of(row.auth, secret, origin.host_header.decode()),
            priority=place.priority,
            weight=place.weight,
            wire=wire_for(row, model_name),
        )


def _rank(own: Mapping[str, Own], provider: ProviderSnapshot) -> int:
    mine = own.get(provider.provider_type)
    return 2 if mine is None else 0 if mine.is_default else 1


def _without_key(row: ProviderRow) -> Credential | None:
    """What is shown to a provider that wants nothing shown; None for all others."""
    return Credential("", row.type, 0, Secret(""), None, on_simulator=False) if NEEDS_NO_KEY in row.flags else None


def simulated(simulator_url: str, row: ProviderRow) -> str:
    """Where the simulator plays a provider: its URL, the provider's type, and the path of the real base URL."""
    path = split_url(row.base_url)[1].decode() if row.base_url else "/v1"
    return f"{simulator_url.rstrip('/')}/{row.type}{path}"


def _spoken_to(row: ProviderRow, headers: Mapping[str, str]) -> ProviderRow:
    """The row as an instance's own headers make it: another version of an API has other ways."""
    flags = [FLAGS_OF_HEADERS[header] for header in headers.items() if header in FLAGS_OF_HEADERS]
    return replace(row, flags=row.flags.union(*flags)) if flags else row


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
