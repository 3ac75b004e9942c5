"""Provider instances: one place where providers of some type are called; each type has a default one.

The default instance has its type's name and the registry's base URL, and cannot be removed, only disabled. An instance
never holds a credential: keyvault does, so headers that would carry one are refused.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from common.errors import BadRequest, Unprocessable
from common.ids import derived_id
from common.providers.registry import PROVIDERS

_HEADER_NAME = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
_HEADER_VALUE = re.compile(r"^[\x20-\x7e]{0,1024}$")
_MAX_HEADERS = 32
_MAX_OPTIONS_LENGTH = 16_384
_CREDENTIAL_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}
)
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "te", "upgrade"}
)


class UnknownProviderType(BadRequest):
    """No provider of this type can be called."""

    code = "unknown_provider_type"

    def __init__(self, provider_type: str) -> None:
        super().__init__(f"unknown provider_type: {provider_type[:64]}; known: {', '.join(sorted(PROVIDERS))}")


class WrongConfiguration(Unprocessable):
    """A base URL or header that cannot be used."""

    code = "wrong_configuration"


@dataclass(frozen=True, slots=True)
class Provider:
    """One instance. `base_url` None: the registry's. The higher its priority, the earlier it is tried."""

    id: str
    name: str
    display_name: str
    provider_type: str
    created_at: datetime
    updated_at: datetime
    base_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    priority: int = 0

    @property
    def is_default(self) -> bool:
        """Whether this is the one that each type always has."""
        return self.id == default_id(self.provider_type)


def default_id(provider_type: str) -> str:
    """The id of a type's default instance."""
    return derived_id("provider", provider_type)


def defaults(now: datetime) -> tuple[Provider, ...]:
    """The default instance of every type; disabled where the registry knows no address (`custom`)."""
    return tuple(
        Provider(default_id(row.type), row.type, row.display_name, row.type, now, now, enabled=bool(row.base_url))
        for row in PROVIDERS.values()
    )


def check_provider(provider: Provider) -> Provider:
    """The instance itself; UnknownProviderType or WrongConfiguration when it could not be called."""
    row = PROVIDERS.get(provider.provider_type)
    if row is None:
        raise UnknownProviderType(provider.provider_type)
    if provider.base_url is not None:
        _check_url(provider.base_url)
    elif provider.enabled and not row.base_url:
        raise WrongConfiguration(f"a provider of type {row.type} needs config.base_url before it can be enabled")
    _check_headers(provider.headers)
    if len(json.dumps(dict(provider.options))) > _MAX_OPTIONS_LENGTH:
        raise WrongConfiguration(f"config.options should be at most {_MAX_OPTIONS_LENGTH} characters of JSON")
    return provider


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise WrongConfiguration("config.base_url is no URL") from error
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise WrongConfiguration("config.base_url should be a URL that begins with http:// or https://")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise WrongConfiguration("config.base_url should have no user, password, query or fragment")
    if _is_link_local(host):
        raise WrongConfiguration("config.base_url leads to a link-local address, where no provider lives")


def _is_link_local(host: str) -> bool:
    """Where clouds keep their machines' own credentials."""
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return host.rstrip(".").lower() == "metadata.google.internal"


def _check_headers(headers: Mapping[str, str]) -> None:
    if len(headers) > _MAX_HEADERS:
        raise WrongConfiguration(f"config.headers should be at most {_MAX_HEADERS}")
    for name, value in headers.items():
        if not _HEADER_NAME.match(name) or not _HEADER_VALUE.match(value):
            raise WrongConfiguration("config.headers: a name is one token, a value one line of printable ASCII")
        if name.lower() in _CREDENTIAL_HEADERS:
            raise WrongConfiguration(f"config.headers: {name} would hold a credential: /api/v1/llm/providers/keys does")
        if name.lower() in _OWN_HEADERS:
            raise WrongConfiguration(f"config.headers: {name} is set for each call")
