"""Fetching what strangers publish: bounded in time and bytes, no redirect followed, nothing taken from the environment.

A feed's address is the operator's to choose, but a name may resolve to anything. So the host is resolved once, every
address of it must be one of the public Internet (`allow_private` is for an operator's own hosts: a model server beside
us), none may be where clouds keep their machines' credentials, and the connection goes to the address that was checked
while TLS and `Host` keep the name. Compressed answers are not asked for, so that a few bytes cannot become many.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit, urlunsplit

import httpx2

from catalog_sync.sources.source import SourceUnreadable

Fetch = Callable[[str], Awaitable[bytes]]
"""From a URL to what stands there; SourceUnreadable."""

_DEADLINE_SECONDS = 30.0
_MOST_BYTES = 24 << 20
_PORTS = {"http": 80, "https": 443}


class Fetcher:
    """Fetches over HTTP; holds no connection open between two fetches."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        deadline_seconds: float = _DEADLINE_SECONDS,
        most_bytes: int = _MOST_BYTES,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._deadline_seconds = deadline_seconds
        self._most_bytes = most_bytes
        self._transport = transport

    async def __call__(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200; SourceUnreadable, in words without the URL's query or any header, for anything else."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._get(url, headers or {})
        except TimeoutError as error:
            raise SourceUnreadable(f"it did not answer whole within {self._deadline_seconds:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise SourceUnreadable(f"it cannot be reached ({type(error).__name__})") from error

    async def _get(self, url: str, headers: Mapping[str, str]) -> bytes:
        at, host = await self._checked(url)
        sent = {**headers, "host": host, "accept": "application/json", "accept-encoding": "identity"}
        name = urlsplit(url).hostname or ""
        async with (
            httpx2.AsyncClient(follow_redirects=False, trust_env=False, transport=self._transport) as client,
            client.stream(
                "GET", at, headers=sent, extensions={"sni_hostname": name}, timeout=self._deadline_seconds
            ) as answer,
        ):
            if answer.status_code != 200:
                raise SourceUnreadable(_refusal(answer.status_code))
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise SourceUnreadable("it sent a compressed answer, which was not asked for")
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > self._most_bytes:
                    raise SourceUnreadable(f"it sent more than {self._most_bytes >> 20} MiB")
            return bytes(body)

    async def _checked(self, url: str) -> tuple[str, str]:
        """The URL with an address in the host's place, and the `Host` header that goes with it."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.password:
            raise SourceUnreadable("its address is no plain http or https URL")
        port = parts.port or _PORTS[parts.scheme]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not addresses or not all(self._may_reach(address) for address in addresses):
            raise SourceUnreadable("its name leads to an address that is not public")
        address = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        return urlunsplit(parts._replace(netloc=f"{address}:{port}", fragment="")), parts.netloc

    def _may_reach(self, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        ip = mapped or ip
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            return False
        return self._allow_private or ip.is_global


def _refusal(status: int) -> str:
    return "it redirects elsewhere, which is not followed" if 300 <= status < 400 else f"it answered HTTP {status}"
