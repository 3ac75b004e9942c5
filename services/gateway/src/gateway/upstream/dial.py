"""Opens one connection: name to addresses, addresses to a socket, socket to TLS.

The one place of the gateway from which a provider is connected to. Names are resolved here and not by the loop's
`create_connection`, for two reasons: a guard can put itself between (`Resolver`) and hand out only addresses that it
has checked, and the connection then goes to exactly that address while TLS and `Host` keep the name; and racing IPv6
against IPv4 works the same on every event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from gateway.upstream.connection import Connection
from gateway.upstream.errors import ConnectFailed, Phase, UpstreamTimeout
from gateway.upstream.request import ClientLimits, Deadlines, Origin

# From an origin to the IP addresses that may be connected to, in order of preference; refuses by raising ConnectFailed.
Resolver = Callable[[Origin], Awaitable[Sequence[str]]]

_HEAD_START_SECONDS = 0.25  # RFC 8305: how long an address is tried alone before the next one joins in
_MAX_ADDRESSES = 8
_READ_BYTES = 65_536  # the most that one read takes from a socket


async def resolve_by_system(origin: Origin) -> Sequence[str]:
    """The system's answer for the name, families alternating, the preferred one first. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append(str(address[0]))
    rounds = itertools.zip_longest(*families.values())
    return [address for each in rounds for address in each if address is not None]


def system_tls() -> ssl.SSLContext:
    """TLS by the system's certificates, host names checked, 1.2 and up; `limit_to_http11` is still to be applied."""
    return ssl.create_default_context()


def limit_to_http11(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, offering HTTP/1.1 only: this client speaks nothing else."""
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Opens connections; holds what they have in common."""

    def __init__(self, limits: ClientLimits, ssl_context: ssl.SSLContext | None, resolve: Resolver | None) -> None:
        self._limits = limits
        self._tls = limit_to_http11(ssl_context or system_tls())
        self._resolve = resolve or resolve_by_system
        self._buffer = memoryview(bytearray(_READ_BYTES))

    async def dial(self, origin: Origin, deadlines: Deadlines, total_at: float) -> Connection:
        """A fresh connection. Raises ConnectFailed, or UpstreamTimeout (connect, total); both with sent=False."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        phase: Phase = "connect" if now + deadlines.connect_seconds < total_at else "total"
        seconds = deadlines.connect_seconds if phase == "connect" else deadlines.total_seconds
        at = min(now + deadlines.connect_seconds, total_at)
        try:
            async with asyncio.timeout_at(at) as timeout:
                return await self._dial(loop, origin)
        except OSError as error:  # TimeoutError, ssl.SSLError and socket.gaierror are OSErrors too
            if timeout.expired():
                raise UpstreamTimeout(phase, seconds, sent=False) from None
            raise ConnectFailed(f"no connection to {origin.host}:{origin.port}: {_reason(error)}") from error

    async def _dial(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> Connection:
        addresses = list(await self._resolve(origin))[:_MAX_ADDRESSES]
        if not addresses:
            raise ConnectFailed(f"no connection to {origin.host}:{origin.port}: the name has no address")
        plain = await _connect_first(loop, addresses, origin.port)
        connection = Connection(loop, self._limits, plain, self._buffer)
        tls = self._tls if origin.scheme == "https" else None
        name = origin.host if tls else None
        try:
            await loop.create_connection(lambda: connection, sock=plain, ssl=tls, server_hostname=name)
        except BaseException:
            connection.retire()
            plain.close()
            raise
        if not connection.is_open:
            connection.retire()
            raise ConnectFailed(f"no connection to {origin.host}:{origin.port}: it was closed as soon as it was open")
        return connection


async def _connect_first(loop: asyncio.AbstractEventLoop, addresses: Sequence[str], port: int) -> socket.socket:
    """The socket of the first address that answers; each next address starts when the one before fails or dawdles."""
    if len(addresses) == 1:
        return await _connect(loop, addresses[0], port)
    running: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException | None = None
    waiting = list(reversed(addresses))
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_connect(loop, waiting.pop(), port)))
            patience = _HEAD_START_SECONDS if waiting else None
            done, running = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            winners = [task for task in done if task.exception() is None]
            running.update(winners[1:])  # two in the same turn: the others are closed with the losers
            if winners:
                return winners[0].result()
            failure = next((task.exception() for task in done), failure)
        raise failure or OSError("no address answered")
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(loop: asyncio.AbstractEventLoop, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await loop.sock_connect(plain, (address, port))
    except BaseException:
        plain.close()
        raise
    return plain


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    return error.strerror or type(error).__name__
