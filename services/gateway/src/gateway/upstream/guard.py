"""Stands between a name and its addresses: a credential or instance that somebody gave a URL must not lead indoors.

What the table of providers says, the simulator, and what the operator allows by name may be anywhere; every other
origin must be https, and all its addresses public, at each new connection and not only when the URL was saved.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.urls import ForbiddenUrl, Target, UrlRules, is_public

from gateway.upstream.dial import Resolver, resolve_by_system
from gateway.upstream.errors import ConnectFailed
from gateway.upstream.request import Origin


def guarded(rules: UrlRules, resolve: Resolver = resolve_by_system) -> Resolver:
    """A resolver that refuses what the rules do not allow."""

    async def resolve_what_is_allowed(origin: Origin) -> Sequence[str]:
        if rules.is_allowed(origin.host, origin.port):
            return await resolve(origin)
        try:
            rules.check(Target(origin.scheme, origin.host, origin.port, "/").url)
        except ForbiddenUrl as error:
            raise ConnectFailed(f"no connection to {origin.host}:{origin.port}: it {error.message}") from None
        addresses = await resolve(origin)
        if not all(map(is_public, addresses)):
            raise ConnectFailed(f"no connection to {origin.host}:{origin.port}: it leads to a private address")
        return addresses

    return resolve_what_is_allowed
