"""Whether a server given by URL answers, and if not, why, in one line: before anything is started, within 5 s.

Names the variable, host and port, never the password. What an own server needs besides is `common.servers`'.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote, urlsplit

import asyncpg
import nats
import nats.errors
import redis.asyncio
import redis.exceptions
from common.bus.provision import check_version
from common.errors import TollgateError
from common.outages import AWAY

from tollgate.errors import RunnerError

LIMIT_SECONDS = 2.0
_DEFAULT_PORTS = {"postgres": 5432, "postgresql": 5432, "nats": 4222, "tls": 4222, "redis": 6379, "rediss": 6379}


_NO_ANSWER = f"no answer within {LIMIT_SECONDS:g} s"
_CAUSES: Mapping[type[BaseException], str] = {
    TimeoutError: _NO_ANSWER,
    ConnectionRefusedError: "connection refused (is it running?)",
    socket.gaierror: "its host name does not resolve",
    redis.exceptions.TimeoutError: _NO_ANSWER,
    redis.exceptions.AuthenticationError: "the login is missing or wrong",
    nats.errors.AuthorizationError: "the login is missing or wrong",
}


async def check_postgres(url: str) -> None:
    """Log in and ask something."""
    connection = await asyncpg.connect(url, timeout=LIMIT_SECONDS)
    await connection.close(timeout=1)


async def check_nats(url: str) -> None:
    """Log in; the server must be new enough and have JetStream."""
    client = await nats.connect(url, connect_timeout=2, allow_reconnect=False, error_cb=_silent)
    try:
        check_version(str(client.connected_server_version))
        await client.jetstream().account_info()
    finally:
        with contextlib.suppress(nats.errors.Error, OSError, EOFError):
            await client.close()


async def _silent(error: Exception) -> None:
    """The client would print errors that we report ourselves."""


async def check_redis(url: str) -> None:
    """Log in and ping."""
    client = redis.asyncio.from_url(url, socket_connect_timeout=LIMIT_SECONDS, socket_timeout=LIMIT_SECONDS, retry=None)
    try:
        await client.ping()
    finally:
        await client.aclose()


CHECKS: Mapping[str, Callable[[str], Awaitable[None]]] = {
    "DATABASE_URL": check_postgres,
    "NATS_URL": check_nats,
    "REDIS_URL": check_redis,
    "CACHE_REDIS_URL": check_redis,
}


def require_reachable(given: Mapping[str, str], names: Mapping[str, str] | None = None) -> None:
    """Check all given URLs (variable → URL) at once; RunnerError with the first that does not answer.

    `names`: what to call a variable in the message, where another one gave the URL.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    knocks = {variable: _Knock(url) for variable, url in given.items()}
    problems = {variable: knock.problem(deadline) for variable, knock in knocks.items()}
    if not any(problems.values()):
        problems = asyncio.run(_log_in_to_all(given, max(deadline - time.monotonic(), LIMIT_SECONDS / 2)))
    for variable, problem in problems.items():
        if problem:
            name = (names or {}).get(variable, variable)
            raise RunnerError(f"{name}: {address_of(given[variable])} cannot be used: {problem}")


def address_of(url: str) -> str:
    """`host:port` of a URL, without its login."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"


class _Knock:
    """Looks the host up and connects, in a thread that may be left behind: the system's look-up knows no deadline."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._outcome: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def problem(self, deadline: float) -> str:
        """Why it did not work, empty when it did; waits until the deadline at most."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return self._outcome[0] if self._outcome else _NO_ANSWER

    def _run(self) -> None:
        host, _, port = address_of(self._url).rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS).close()
            self._outcome.append("")
        except OSError as error:
            self._outcome.append(_cause(error, self._url))


async def _log_in_to_all(given: Mapping[str, str], limit_seconds: float) -> dict[str, str]:
    found = await asyncio.gather(*(_log_in(variable, url, limit_seconds) for variable, url in given.items()))
    return dict(zip(given, found, strict=True))


async def _log_in(variable: str, url: str, limit_seconds: float) -> str:
    try:
        async with asyncio.timeout(limit_seconds):
            await CHECKS[variable](url)
    except (*AWAY, TollgateError, ValueError) as error:
        return _cause(error, url)
    except (nats.errors.Error, redis.exceptions.RedisError) as error:
        return _cause(error, url)
    return ""


def _cause(error: BaseException, url: str) -> str:
    for kind, text in _CAUSES.items():
        if isinstance(error, kind):
            return text
    text = " ".join(str(error).split()) or type(error).__name__
    password = unquote(urlsplit(url).password or "")
    return text.replace(password, "***") if password else text
