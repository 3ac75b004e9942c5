"""Processes of a killed runner: recorded while they run, ended by the next runner.

On Linux the kernel ends them with the runner; this is for the moment that takes, and for other systems. A pid alone
proves nothing, it may be another program's by now: a record holds the start time too, and only a process with both is
ours to end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from common.servers.child import kill_group
from common.servers.private_file import write_private

_SAME_START_SECONDS = 0.02
_GRACE_SECONDS = 10.0


def record_children(path: Path, pids: Mapping[str, int]) -> None:
    """Remember these processes by pid and start time; those already gone are left out."""
    started = {name: start for name, pid in pids.items() if (start := _started_at(pid)) is not None}
    write_private(path, json.dumps({name: [pids[name], at] for name, at in started.items()}) + "\n")


def end_leftovers(path: Path, grace_seconds: float = _GRACE_SECONDS) -> list[str]:
    """End what a killed runner left and forget the record; returns the names of what had to be ended."""
    alive = {name: found for name, (pid, at) in _records(path).items() if (found := _ours(pid, at)) is not None}
    for process in alive.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(list(alive.values()), timeout=grace_seconds)
    for process in stubborn:
        kill_group(process.pid)
    psutil.wait_procs(stubborn, timeout=2)
    path.unlink(missing_ok=True)
    return sorted(alive)


def _ours(pid: int, started_at: float) -> psutil.Process | None:
    start = _started_at(pid)
    return psutil.Process(pid) if start is not None and abs(start - started_at) < _SAME_START_SECONDS else None


def _started_at(pid: int) -> float | None:
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
