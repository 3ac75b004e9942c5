"""Processes of a killed runner: recorded while they run, ended by the next runner.

On Linux the kernel ends them with the runner; this is for the moment that takes, and for other systems. A pid alone
proves nothing, it may be another program's by now: a record holds the start time too, and only a process with both is
ours to end.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from common.servers.child import kill_group
from common.servers.private_file import write_private

_SAME_START_SECONDS = 0.02
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.02


def record_children(path: Path, pids: Mapping[str, int]) -> None:
    """Remember these processes by pid and start time; those already gone are left out."""
    started = {name: start for name, pid in pids.items() if (start := _started_at(pid)) is not None}
    write_private(path, json.dumps({name: [pids[name], at] for name, at in started.items()}) + "\n")


def end_leftovers(path: Path, grace_seconds: float = _GRACE_SECONDS) -> list[str]:
    """End what a killed runner left and forget the record; returns the names of what had to be ended."""
    records = _records(path)
    alive = {name: pid for name, (pid, at) in records.items() if _is_ours(pid, at)}
    for pid in alive.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while (left := [pid for pid, at in records.values() if _is_ours(pid, at)]) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for pid in left:
        kill_group(pid)
    path.unlink(missing_ok=True)
    return sorted(alive)


def _is_ours(pid: int, started_at: float) -> bool:
    start = _started_at(pid)
    return start is not None and abs(start - started_at) < _SAME_START_SECONDS


def _started_at(pid: int) -> float | None:
    """When a process began; None when it has ended, whether or not its parent has noticed."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _records(path: Path) -> dict[str, tuple[int, float]]:
    try:
        content = json.loads(path.read_text())
        return {str(name): (int(pid), float(at)) for name, (pid, at) in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}
