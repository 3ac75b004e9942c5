"""Looks a stack over: programs, servers with the settings that durability rests on, services, files that hold secrets.

Each check says what it saw, so that the answer is of use when all is well, too. Nothing is changed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import nats.errors
import redis.asyncio
import redis.exceptions
from common.bus.provision import check_version
from common.errors import TollgateError
from common.outages import AWAY
from common.servers.binaries import NATS, POSTGRES, REDIS, Wanted, find

from tollgate.finding import Finding
from tollgate.gateway_client import unready_checks
from tollgate.home import Home
from tollgate.runfile import RunFile, read_run_file

_LIMIT_SECONDS = 5.0
_PRIVATE = 0o600


def examine(home: Home) -> list[Finding]:
    """All findings: programs and files always, servers and services when a stack runs on this folder."""
    findings = [_program(wanted) for wanted in (POSTGRES, NATS, REDIS)]
    findings += [_private(path) for path in (home.secrets_file, home.run_file) if path.exists()]
    if home.holder() is None or not home.run_file.exists():
        return [*findings, Finding("stack", False, "does not run here: `make up` starts it")]
    run_file = read_run_file(home.run_file)
    findings += asyncio.run(_servers(run_file))
    return [*findings, *(_service(name, url) for name, url in run_file.services.items())]


def _program(wanted: Wanted) -> Finding:
    try:
        program = find(wanted)
    except TollgateError as error:
        return Finding(f"program {wanted.title}", False, str(error))
    return Finding(f"program {wanted.title}", True, f"{program.version_text} ({program.path})")


def _private(path: Path) -> Finding:
    mode = path.stat().st_mode & 0o777
    return Finding(f"file {path.name}", mode == _PRIVATE, f"mode {mode:o}")


def _service(name: str, url: str) -> Finding:
    unready = unready_checks(url)
    return Finding(f"service {name}", not unready, f"not ready: {', '.join(unready)}" if unready else f"ready at {url}")


async def _servers(run_file: RunFile) -> list[Finding]:
    return [
        await _seen("postgres", lambda: _postgres(run_file.database_url)),
        await _seen("nats", lambda: _nats(run_file)),
        await _seen(
            "redis", lambda: _redis(run_file.redis_url, {"maxmemory-policy": "noeviction", "appendfsync": "always"})
        ),
        await _seen("cache redis", lambda: _redis(run_file.cache_redis_url, {"maxmemory-policy": "allkeys-lru"})),
    ]


async def _seen(name: str, look: Callable[[], Awaitable[tuple[bool, str]]]) -> Finding:
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            is_well, detail = await look()
    except (*AWAY, TollgateError) as error:
        return Finding(f"server {name}", False, str(error) or type(error).__name__)
    except (nats.errors.Error, redis.exceptions.RedisError, HTTPException, ValueError) as error:
        return Finding(f"server {name}", False, str(error) or type(error).__name__)
    return Finding(f"server {name}", is_well, detail)


async def _postgres(url: str) -> tuple[bool, str]:
    connection = await asyncpg.connect(url, timeout=_LIMIT_SECONDS)
    try:
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes")
        seen = {name: str(await connection.fetchval("SELECT current_setting($1)", name)) for name in names}
    finally:
        await connection.close(timeout=1)
    return all(seen[name] == "on" for name in names[1:]), _listed(seen)


async def _nats(run_file: RunFile) -> tuple[bool, str]:
    client = await nats.connect(run_file.nats_url, connect_timeout=3, allow_reconnect=False)
    try:
        version = str(client.connected_server_version)
        check_version(version)
        streams = (await client.jetstream().account_info()).streams
    finally:
        with suppress(nats.errors.Error, OSError, EOFError):
            await client.close()
    seen = {"version": version.strip("<>").rpartition(" ")[2], "streams": str(streams)}
    if run_file.nats_monitoring_url is None:
        return True, f"{_listed(seen)} (given: see to `sync_interval: always`, or three replicas, there)"
    is_synced = _sync_always(run_file.nats_monitoring_url)
    return is_synced, _listed(seen | {"sync_always": str(is_synced).lower()})


def _sync_always(monitoring_url: str) -> bool:
    """Whether the server has each message on the disk before it acknowledges it, by its own word."""
    parts = urlsplit(monitoring_url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", "/jsz")
        return json.loads(connection.getresponse().read())["config"].get("sync_always") is True
    finally:
        connection.close()


async def _redis(url: str, wanted: dict[str, str]) -> tuple[bool, str]:
    client = redis.asyncio.from_url(url, socket_connect_timeout=3, socket_timeout=3, decode_responses=True)
    try:
        seen = {name: str((await client.config_get(name)).get(name)) for name in wanted}
    finally:
        await client.aclose()
    return seen == wanted, _listed(seen)


def _listed(seen: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in seen.items())
