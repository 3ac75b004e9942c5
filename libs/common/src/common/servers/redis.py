"""A Redis (or Valkey) server of our own: for money with every write on disk, or for caches with nothing on disk.

The two are never one server: a cache that fills its memory drops old entries, money must refuse the write instead.
Which keys live where is the services' business.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from common.contracts.logins import redis_user_lines
from common.contracts.privileges import RedisServer
from common.servers.binaries import REDIS, find
from common.servers.child import start_child, wait_ready
from common.servers.ports import require_free
from common.servers.private_file import write_private
from common.servers.running import SERVER_ENV, RunningServer

_MONEY = ("appendonly yes", "maxmemory-policy noeviction")
_CACHE = ("appendonly no", "maxmemory 256mb", "maxmemory-policy allkeys-lru")


def start_redis(
    data_dir: Path,
    *,
    port: int,
    password: str,
    log_path: Path,
    persistent: bool,
    service_passwords: Mapping[str, str] | None = None,
    durable: bool = True,
    deadline_seconds: float = 30.0,
) -> RunningServer:
    """Start the server on `data_dir`. Persistent: every write is synced before its answer (else: each second).

    The password is the default user's, who may do everything; a service with a password of its own gets a user that may
    do what the table of privileges says.
    """
    program = find(REDIS)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    kind = (*_MONEY, f"appendfsync {'always' if durable else 'everysec'}") if persistent else _CACHE
    name: RedisServer = "redis" if persistent else "cache-redis"
    users = tuple(redis_user_lines(name, service_passwords or {}))
    config = write_private(data_dir / "redis.conf", _config(data_dir, port, password, (*kind, *users)))
    require_free(port, name)
    child = start_child(name, [str(program.path), str(config)], env=SERVER_ENV, log_path=log_path)
    wait_ready(child, lambda: _answers(port, password), deadline_seconds=deadline_seconds)
    url = f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"
    return RunningServer(child=child, url=url, port=port, version=program.version_text)


def _config(data_dir: Path, port: int, password: str, kind: tuple[str, ...]) -> str:
    folder = str(data_dir.absolute()).replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f'requirepass "{password}"',
        f'dir "{folder}"',
        "daemonize no",
        'save ""',
    ]
    return "\n".join([*lines, *kind, ""])


def _answers(port: int, password: str) -> bool:
    """Whether it has loaded its file and takes our password; two inline commands need no client."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            lines = connection.makefile("rb")
            return lines.readline().startswith(b"+OK") and lines.readline().startswith(b"+PONG")
    except OSError:
        return False
