"""A stack to measure: started by the `tollgate` command in a folder of its own, stopped afterwards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.servers.ports import free_port


@contextmanager
def running_stack(home: Path) -> Iterator[dict[str, Any]]:
    """The contents of `run.json` of a running stack."""
    _tollgate(home, "up")
    try:
        yield json.loads((home / "run.json").read_text())
    finally:
        _tollgate(home, "down")


@contextmanager
def running_ordinary(stack: dict[str, Any], key: str) -> Iterator[tuple[str, int]]:
    """The ordinary proxy on the same servers and simulator: its URL and process id."""
    port = free_port()
    environment = {
        **os.environ,
        "PROVIDER_URL": f"{stack['simulator_url']}/openai/v1",
        "REDIS_URL": stack["redis_url"],
        "NATS_URL": stack["nats_url"],
        "KEY": key,
        "PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.ordinary"], env=environment)
    try:
        _wait_until_it_listens(port)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)


def cpu_seconds(*pids: int) -> float:
    """The CPU time of processes so far, to the nanosecond; the clock is made as Linux' `clock_getcpuclockid(3)` does."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def _wait_until_it_listens(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the ordinary proxy did not start")


def _tollgate(home: Path, command: str) -> None:
    environment = {**os.environ, "TOLLGATE_HOME": str(home), "GATEWAY_HTTP_PORT": str(free_port())}
    subprocess.run(
        [str(Path(sys.executable).parent / "tollgate"), command],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=180,
    )
