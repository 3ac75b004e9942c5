"""A NATS server of our own with JetStream on disk: configured by file, started, stopped.

With `durable` each message is on the disk before it is acknowledged (`sync_interval: always`; the server's own default
acknowledges first and syncs every two minutes). Streams and buckets are `provision`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from common.contracts.logins import nats_authorization
from common.servers.binaries import NATS, find
from common.servers.child import start_child, wait_ready
from common.servers.ports import free_port, require_free
from common.servers.private_file import write_private
from common.servers.running import SERVER_ENV, RunningServer

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
# Said outright: left to itself the server takes three quarters of what is free at each start, and on a disk that has
# filled since would not take its own streams back. What a disk really holds shows when it is written to.
MAX_STORED_BYTES = 128 * 1024**3
MAX_MEMORY_BYTES = 256 * 1024**2


def start_nats(
    data_dir: Path,
    *,
    port: int,
    user: str,
    password: str,
    log_path: Path,
    service_passwords: Mapping[str, str] | None = None,
    monitoring_port: int | None = None,
    durable: bool = True,
    deadline_seconds: float = 30.0,
) -> RunningServer:
    """Start the server with its streams in `data_dir`; the monitoring port (loopback) is drawn when not given.

    User and password must need no quoting in a URL: nats-py takes them from there as they stand. This user may do
    everything; a service with a password gets a user of its own that may do what the table of privileges says.
    """
    program = find(NATS)
    watch_port = monitoring_port or free_port({port})
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    users = nats_authorization(user, password, service_passwords or {})
    settings = _config(data_dir, port, watch_port, durable=durable)
    config = write_private(data_dir / "nats.conf", settings + users)
    require_free(port, "nats")
    child = start_child("nats", [str(program.path), "-c", str(config)], env=SERVER_ENV, log_path=log_path)
    wait_ready(child, lambda: _is_healthy(watch_port), deadline_seconds=deadline_seconds)
    return RunningServer(
        child=child,
        url=f"nats://{user}:{password}@127.0.0.1:{port}",
        port=port,
        version=program.version_text,
        monitoring_url=f"http://127.0.0.1:{watch_port}",
    )


def _config(data_dir: Path, port: int, monitoring_port: int, *, durable: bool) -> str:
    # JSON strings are valid strings of the server's configuration language.
    text = json.dumps
    sync = "always" if durable else "2m"
    return f"""server_name: tollgate
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitoring_port}"
max_payload: {MAX_PAYLOAD_BYTES}
jetstream {{
  store_dir: {text(str(data_dir.absolute()))}
  sync_interval: {sync}
  max_file_store: {MAX_STORED_BYTES}
  max_memory_store: {MAX_MEMORY_BYTES}
}}
"""


def _is_healthy(monitoring_port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", monitoring_port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
