"""Calling URLs that people or sources gave: the name's addresses are judged, and the connection goes to one that was.

Resolving, checking and then connecting by name would let the name lead elsewhere the second time. Here every request
resolves once, all addresses must be public (`common.urls`), and the request goes to one of them by number, while TLS
and `Host` keep the name. No redirects, no proxies, nothing from the environment.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx2

from common.urls import ForbiddenUrl, Target, UrlRules, is_public

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and port to its IP addresses. Raises OSError."""

_MAX_ADDRESSES = 4


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The system's answer for a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


async def judged_addresses(rules: UrlRules, host: str, port: int, resolve: Resolve) -> Sequence[str]:
    """The addresses of a host that may be connected to. Raises ForbiddenUrl when one of them is not public, OSError."""
    addresses = await resolve(host, port)
    if not rules.is_allowed(host, port) and not all(map(is_public, addresses)):
        raise ForbiddenUrl("leads to an address that is not public")
    return addresses


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends what the rules allow, to the very address that was judged. Raises ForbiddenUrl before anything is sent."""

    def __init__(
        self, rules: UrlRules, *, resolve: Resolve = resolve_by_system, tls: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        limits = httpx2.Limits(max_connections=20, max_keepalive_connections=0)
        verify = tls if tls is not None else ssl.create_default_context()
        self._inner = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request, at the first of the judged addresses that can be connected to."""
        target = self._rules.check(str(request.url), may_have_query=True)
        try:
            addresses = await judged_addresses(self._rules, target.host, target.port, self._resolve)
        except OSError as error:
            raise httpx2.ConnectError("the name cannot be resolved", request=request) from error
        failure: httpx2.TransportError = httpx2.ConnectError("the name has no address", request=request)
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                return await self._inner.handle_async_request(_pinned(request, target, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()


def guarded_client(rules: UrlRules, timeout_seconds: float) -> httpx2.AsyncClient:
    """A client for URLs that people or sources gave. It asks for no compressed answers (`read_bounded`)."""
    return httpx2.AsyncClient(
        transport=GuardedTransport(rules),
        follow_redirects=False,
        trust_env=False,
        timeout=timeout_seconds,
        headers={"accept-encoding": "identity"},
    )


async def read_bounded(response: httpx2.Response, most_bytes: int) -> bytes:
    """The body of a streamed answer. httpx2.ReadError for a longer one, and for a compressed one, of which a few bytes can
    become more than there is room for before anybody has counted them."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.ReadError("the answer is compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most_bytes:
            raise httpx2.ReadError("the answer is too long")
    return bytes(body)


def _pinned(request: httpx2.Request, target: Target, address: str) -> httpx2.Request:
    """The same request, at an address; its `Host` header was made from the name."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": target.host},
    )
