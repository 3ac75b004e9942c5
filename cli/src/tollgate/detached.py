"""The runner in the background: `up` starts it and waits until it is ready, `down` ends it and waits until it is gone.

The background runner is this same program, `tollgate run`, in a session of its own, with its output in the runner's
log; over a pipe it tells how the start goes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common.servers.child import last_line, open_log

from tollgate.errors import RunnerError
from tollgate.home import Home
from tollgate.leftovers import end_leftovers
from tollgate.runfile import RunFile, read_run_file, refuse_second

_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.05


def start_detached(home: Home, say: Callable[[str], None]) -> RunFile:
    """Start a runner in the background; returns when all is ready. RunnerError with its reason when it gives up."""
    refuse_second(home)
    home.make()
    log_path = home.log_of("runner")
    reading, writing = os.pipe()
    with open_log(log_path) as log:
        runner = subprocess.Popen(
            [sys.executable, "-m", "tollgate", "run", "--report-to", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    try:
        _follow(reading, log_path, say)
    except KeyboardInterrupt:
        runner.send_signal(signal.SIGTERM)
        runner.wait()
        raise
    return read_run_file(home.run_file)


def stop_detached(home: Home) -> bool:
    """Stop the runner on this folder, in the background or not; False when none ran. Returns when all is gone."""
    holder = home.holder()
    if holder is None:
        end_leftovers(home.children_file)
        home.run_file.unlink(missing_ok=True)
        return False
    _ask_to_stop(holder)
    deadline = time.monotonic() + _STOP_SECONDS
    while home.holder() is not None:
        if time.monotonic() > deadline:
            os.kill(holder, signal.SIGKILL)
            end_leftovers(home.children_file)
            raise RunnerError(f"the runner (pid {holder}) did not stop within {_STOP_SECONDS:g} s and was killed")
        time.sleep(_POLL_SECONDS)
    return True


def _ask_to_stop(runner: int) -> None:
    try:
        os.kill(runner, signal.SIGTERM)
    except ProcessLookupError:
        return  # it has just gone by itself
    except PermissionError:
        raise RunnerError(f"the runner (pid {runner}) is another user's: stop it as that user") from None


def _follow(reading: int, log_path: Path, say: Callable[[str], None]) -> None:
    """Pass on what the starting runner says until it is ready; RunnerError when it fails or vanishes."""
    with os.fdopen(reading, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            if "say" in message:
                say(message["say"])
            elif "failed" in message:
                raise RunnerError(message["failed"])
            else:
                return
    raise RunnerError(f"the runner ended before it was ready: {last_line(log_path)} (log: {log_path})")
