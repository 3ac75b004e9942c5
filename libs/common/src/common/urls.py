"""URLs that people or sources give: which may be called, and which addresses their names may lead to. Pure.

Whoever may name a URL could otherwise make this house call itself, its neighbours or its cloud's metadata service. So a
URL is taken apart once, strictly, and put together again from the parts that were checked: two readers of one text
must not see two hosts. Only https to a name or address of the public Internet passes; what an operator allows by name
(a model server next door) is exempt. A name says nothing yet: the addresses it leads to are judged at each connection
(`common.http.guarded`, the gateway's dialer), which then goes to exactly the address that was judged.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from common.errors import Unprocessable

_MAX_CHARACTERS = 2048
_PORTS = {"https": 443, "http": 80}
_FIRST_FREE_PORT = 1024  # below it live other services; 443 alone is ours
_TEXT = re.compile(r"[!-\[\]-~]+")  # visible ASCII without the backslash, which some readers take for a slash
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ALLOWED = re.compile(r"(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

_PRIVATE_NAMES = (
    "localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa", "test",
    "onion", "arpa", "svc",
)  # fmt: skip
"""Names, and all names below them, that never are a public host."""

_PRIVATE_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
    )
)  # fmt: skip
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_PRIVATE_V6 = tuple(
    ipaddress.IPv6Network(text)
    # Special purposes, Teredo, ORCHID, benchmarks; documentation; 6to4, which carries any IPv4 address; AS112.
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenUrl(Unprocessable):
    """A URL that must not be called; says why, and repeats nothing of it."""

    code = "forbidden_url"


LOCAL_HOSTS = "localhost,127.0.0.1,[::1]"
"""This machine itself: allowed in development, where the simulator answers for providers."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was taken apart: `host` without brackets, in lower case; `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """Host and, unless it is the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, put together again."""
        return f"{self.scheme}://{self.netloc}{self.path}"


@dataclass(frozen=True, slots=True)
class UrlRules:
    """What may be called: the public Internet by https, and the `allowed` hosts (`host` or `host:port`) as well."""

    allowed: frozenset[str] = frozenset()

    def is_allowed(self, host: str, port: int) -> bool:
        """Whether an operator has named this host, and so may it be private and plain http."""
        name = f"[{host}]" if ":" in host else host
        return name in self.allowed or f"{name}:{port}" in self.allowed

    def check(self, text: str, *, may_have_query: bool = False) -> Target:
        """A URL that may be called, as far as its text can tell. Raises ForbiddenUrl."""
        target = _taken_apart(text, may_have_query=may_have_query)
        if self.is_allowed(target.host, target.port):
            return target
        if target.scheme != "https":
            raise ForbiddenUrl("should begin with https://")
        if target.port != _PORTS["https"] and target.port < _FIRST_FREE_PORT:
            raise ForbiddenUrl("should be at port 443, or 1024 and above")
        if not _may_be_public(target.host):
            raise ForbiddenUrl("should be a public host")
        return target


def allowed_hosts(text: str) -> str:
    """A list `host,host:port` as settings have it; ValueError when an entry is none."""
    for entry in filter(None, (part.strip() for part in text.split(","))):
        if not _ALLOWED.fullmatch(entry.lower()):
            raise ValueError(f"{entry[:64]} is not a host or host:port")
    return text


AllowedHosts = Annotated[str, AfterValidator(allowed_hosts)]


def rules_of(text: str, *more: str) -> UrlRules:
    """The rules with the hosts of a setting (and some more) allowed."""
    named = [entry.strip().lower() for part in (text, *more) for entry in part.split(",")]
    return UrlRules(frozenset(filter(None, named)))


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public Internet, also when it hides in an IPv6 address of another kind."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        hidden = found.ipv4_mapped or (ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else None)
        if hidden is None:
            is_plain = found.scope_id is None and found in _PUBLIC_V6
            return is_plain and not any(found in network for network in _PRIVATE_V6)
        found = hidden
    return not any(found in network for network in _PRIVATE_V4)


def _taken_apart(text: str, *, may_have_query: bool) -> Target:
    if len(text) > _MAX_CHARACTERS or not _TEXT.fullmatch(text):
        raise ForbiddenUrl("should be a URL in visible ASCII")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ForbiddenUrl("should be a URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ForbiddenUrl("should begin with https://")
    if "@" in parts.netloc or "%" in parts.netloc or "#" in text or (not may_have_query and "?" in text):
        raise ForbiddenUrl("should be https://<host>/<path>, without user, query or fragment")
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    target = Target(parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port, path)
    if parts.netloc.lower() not in _spellings(target):
        raise ForbiddenUrl("should be a URL")  # an empty or zero-padded port, brackets around a name
    return target


def _spellings(target: Target) -> tuple[str, str]:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return target.netloc, f"{host}:{target.port}"


def _may_be_public(host: str) -> bool:
    if ":" in host or _NUMERIC.fullmatch(host.rpartition(".")[2]):
        return is_public(host)  # an address, or what some readers take for one (0x7f.1, 2130706433): then refused
    return bool(_NAME.fullmatch(host)) and not any(host == name or host.endswith(f".{name}") for name in _PRIVATE_NAMES)
