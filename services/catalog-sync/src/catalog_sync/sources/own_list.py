"""Sources `provider:<instance>`: what a configured provider itself says it serves, asked with the operator's own key.

Providers list names, some also lengths; hardly any lists prices, so none are taken from here. The lists differ in a few
names of members only, whatever wire the provider speaks. A provider without a system key has no list here, nor
has one that the simulator plays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from common.contracts.snapshots import CredentialSnapshot
from common.http.fetch import Fetcher, SourceUnreadable
from common.providers.auth import AUTH_SCHEMES
from common.providers.registry import PROVIDERS, ProviderRow
from common.secret import Secret

from catalog_sync.domain.capabilities import capabilities_of
from catalog_sync.domain.listing import ListedModel
from catalog_sync.domain.models import Facts
from catalog_sync.domain.providers import Provider
from catalog_sync.domain.vetting import Standing
from catalog_sync.sources.parsing import MOST_MODELS, model_name, parse_json, text, tokens

OWN_LIST = "provider"
"""What the names of these sources begin with."""

Open = Callable[[CredentialSnapshot], Awaitable[Secret]]
"""From a credential to its secret; SourceUnreadable."""

_LISTS = ("data", "models")
_NAMES = ("id", "name", "model")
_CONTEXT = ("context_length", "context_window", "max_context_length", "inputTokenLimit", "max_model_len")
_LONGEST_OUTPUT = ("max_output_tokens", "max_completion_tokens", "outputTokenLimit")
_PATHS: Mapping[str, str] = MappingProxyType({"google": "/models?pageSize=1000", "anthropic": "/models?limit=1000"})
_UNLISTED = frozenset({"openrouter", "bedrock", "vertex", "azure"})
"""OpenRouter's list is public and a source of its own; the others list what exists, not what a key may call."""
_VERSION_HEADERS: Mapping[str, Mapping[str, str]] = MappingProxyType({"anthropic": {"anthropic-version": "2023-06-01"}})


class SystemCredentials:
    """Which system credential each provider type has; `apply` is the mirror's `on_change`. Secrets are not kept."""

    def __init__(self) -> None:
        self._by_id: dict[str, CredentialSnapshot] = {}

    def apply(self, credential_id: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        snapshot = CredentialSnapshot.model_validate_json(body) if body else None
        if snapshot is None or not snapshot.enabled or snapshot.owner_user_id is not None or snapshot.on_simulator:
            self._by_id.pop(credential_id, None)
        else:
            self._by_id[credential_id] = snapshot

    def of_type(self, provider_type: str) -> CredentialSnapshot | None:
        """The system credential of a provider type."""
        return next((one for one in self._by_id.values() if one.provider_type == provider_type), None)


class OwnLists:
    """Makes a source of each provider instance that can be asked."""

    def __init__(self, fetch: Fetcher, credentials: SystemCredentials, open_secret: Open) -> None:
        self._fetch = fetch
        self._credentials = credentials
        self._open = open_secret

    def of(self, provider: Provider) -> OwnListSource | None:
        """The instance's own list; None when it cannot be asked for one."""
        row = PROVIDERS.get(provider.provider_type)
        credential = self._credentials.of_type(provider.provider_type)
        if row is None or credential is None or not provider.enabled or row.type in _UNLISTED:
            return None
        base_url = provider.base_url or credential.base_url or row.base_url
        return OwnListSource(row, provider, base_url, self._fetch, lambda: self._open(credential)) if base_url else None


class OwnListSource:
    """One instance's list."""

    standing: Standing = "own"

    def __init__(
        self,
        row: ProviderRow,
        provider: Provider,
        base_url: str,
        fetch: Fetcher,
        open_secret: Callable[[], Awaitable[Secret]],
    ) -> None:
        self.name = f"{OWN_LIST}:{provider.name}"
        self._row = row
        self._provider = provider
        self._url = base_url.rstrip("/") + _PATHS.get(row.type, row.probe_path)
        self._fetch = fetch
        self._open = open_secret

    async def read(self) -> tuple[ListedModel, ...]:
        """Every model of the list; SourceUnreadable."""
        secret = await self._open()
        shown = {name.decode(): value.decode() for name, value in AUTH_SCHEMES[self._row.auth](secret.reveal())}
        headers = {**self._provider.headers, **_VERSION_HEADERS.get(self._row.type, {}), **shown}
        return parse(self._row.type, await self._fetch(self._url, headers))


def parse(provider_type: str, body: bytes) -> tuple[ListedModel, ...]:
    """The list's models; SourceUnreadable for what is no such list."""
    content = parse_json(body)
    if isinstance(content, dict):
        content = next((content[name] for name in _LISTS if isinstance(content.get(name), list)), None)
    if not isinstance(content, list) or not 1 <= len(content) <= MOST_MODELS:
        raise SourceUnreadable("it should list models")
    found = tuple(_models(provider_type, content))
    if not found:
        raise SourceUnreadable("none of its entries is a model that we can read")
    return found


def _models(provider_type: str, listed: list[Any]) -> Iterator[ListedModel]:
    for entry in listed:
        stated = _first(entry, _NAMES) if isinstance(entry, dict) else None
        name = model_name(stated.removeprefix("models/")) if isinstance(stated, str) else None
        if name:
            yield ListedModel(
                Facts(
                    provider_type=provider_type,
                    name=name,
                    display_name=text(entry.get("display_name") or entry.get("displayName")) or name,
                    context_length=tokens(_first(entry, _CONTEXT)),
                    max_output_tokens=tokens(_first(entry, _LONGEST_OUTPUT)),
                    capabilities=capabilities_of(name),
                )
            )


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name)), None)
