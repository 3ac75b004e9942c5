"""The plan of a call: which deployments to try, in which order. Pure.

A name is, in this order: an alias; `provider/name`, when its first segment is a provider type or instance; a bare name,
for which its maker's provider comes first, then others by priority.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.contracts.snapshots import DeploymentSnapshot, ProviderSnapshot
from common.providers.auth import AUTH_SCHEMES
from common.providers.registry import FLAGS_OF_HEADERS, NEEDS_NO_KEY, PROVIDERS, ProviderRow, makers_of
from common.secret import Secret

from gateway.mirrors.catalog import Catalog, Model
from gateway.mirrors.credentials import Credential, Credentials
from gateway.upstream.client import Origin, header_block, split_url


@dataclass(frozen=True, slots=True)
class Deployment:
    """One callable place: provider, model, credential, with all that can be prepared ahead of a call."""

    provider: ProviderRow
    provider_id: str
    model: Model
    model_name: str
    credential: Credential
    origin: Origin
    path: bytes
    headers: bytes = field(repr=False)

    @property
    def is_simulated(self) -> bool:
        """Whether the simulator answers in the provider's place."""
        return self.credential.on_simulator


@dataclass(frozen=True, slots=True)
class Plan:
    """The deployments for a name, best first; `alias` when the name is one; `missing` names providers that are meant
    but have no credential."""

    requested: str
    alias: str | None
    deployments: tuple[Deployment, ...]
    missing: tuple[ProviderRow, ...] = ()


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

    def plan(self, name: str) -> Plan | None:
        """The plan for a name; None when there is no such model."""
        alias = self.catalog.alias(name)
        if alias is not None:
            ordered = sorted(alias.deployments, key=lambda deployment: (deployment.priority, -deployment.weight))
            return self._assemble(name, name, [place for one in ordered for place in self._places(one)])
        places = self._qualified(name) or self._bare(name)
        return self._assemble(name, None, places) if places else None

    def credential_of(self, row: ProviderRow) -> Credential | None:
        """What a provider is called with; None when there is nothing."""
        return self.credentials.of_provider(row.type) or _without_key(row)

    def _qualified(self, name: str) -> list[tuple[ProviderSnapshot, Model, str]]:
        provider, slash, rest = name.partition("/")
        return self._places(DeploymentSnapshot(provider=provider, model=rest)) if slash else []

    def _bare(self, name: str) -> list[tuple[ProviderSnapshot, Model, str]]:
        makers = makers_of(name)
        found = [
            (provider_type in makers, provider, model)
            for provider_type, model in self.catalog.models_named(name).items()
            for provider in self.catalog.instances(provider_type)
        ]
        found.sort(key=lambda place: (not place[0], -place[1].priority, place[1].name))
        return [(provider, model, name) for _, provider, model in found]

    def _places(self, wanted: DeploymentSnapshot) -> list[tuple[ProviderSnapshot, Model, str]]:
        return [
            (provider, model, wanted.model)
            for provider in self.catalog.instances(wanted.provider)
            if (model := self.catalog.model(provider.provider_type, wanted.model)) is not None
        ]

    def _assemble(
        self, requested: str, alias: str | None, places: list[tuple[ProviderSnapshot, Model, str]]
    ) -> Plan | None:
        deployments, missing = [], []
        for provider, model, model_name in places:
            row = PROVIDERS[provider.provider_type]
            credential = self.credential_of(row)
            if credential is None:
                missing.append(row)
            else:
                deployments.append(self._deployment(row, provider, model, model_name, credential))
        if not deployments and not missing:
            return None
        return Plan(requested, alias, tuple(deployments), tuple(missing))

    def _deployment(
        self, row: ProviderRow, provider: ProviderSnapshot, model: Model, model_name: str, credential: Credential
    ) -> Deployment:
        base_url = credential.base_url or provider.base_url or row.base_url
        if credential.on_simulator and self.simulator_url:
            base_url = simulated(self.simulator_url, row)
        origin, path = split_url(base_url.rstrip("/"))
        own = {**dict(row.headers), **{name.lower(): value for name, value in provider.headers.items()}}
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
                    *AUTH_SCHEMES[row.auth](credential.secret.reveal()),
                    (b"content-type", b"application/json"),
                    (b"accept-encoding", b"identity"),
                    *_encoded(own),
                ]
            ),
        )


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
