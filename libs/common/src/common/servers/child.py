"""One child process that cannot outlive its parent: start, watch, stop.

Each child gets a session of its own, so that Ctrl-C in a terminal reaches the parent alone and the parent decides the
order of stopping. On Linux the kernel signals the child when its parent dies (PR_SET_PDEATHSIG), however it dies. That
signal follows the *thread* that forked, not the whole parent: a child must be started from the main thread, and
`start_child` insists on it. Elsewhere callers keep pids and clear what is left at their next start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.servers.errors import ServerError

LOG_LIMIT_BYTES = 16 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Privileges:
    """As whom a child runs: a uid and gid to switch to, or a command that stands before its own and switches.

    `owner` is whose its files must be, where that is neither root nor `uid`.
    """

    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None


@dataclass(frozen=True)
class Child:
    """A running child process and how it wants to be stopped."""

    name: str
    popen: subprocess.Popen[bytes]
    log_path: Path
    stop_signal: signal.Signals

    @property
    def pid(self) -> int:
        return self.popen.pid

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. Reaps the child."""
        return self.popen.poll()

    def request_stop(self) -> None:
        """Ask it to end and return at once; `stop` waits."""
        if self.exit_code() is None:
            self.popen.send_signal(self.stop_signal)

    def stop(self, grace_seconds: float = 10.0) -> int:
        """Ask it to end, wait, kill what is left; returns the exit code."""
        self.request_stop()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(grace_seconds)
        return self.end()

    def end(self) -> int:
        """Kill it and what is left of its process group, without asking; returns the exit code."""
        if self.exit_code() is None:
            self.popen.send_signal(signal.SIGKILL)
        kill_group(self.pid)
        return self.popen.wait()


def start_child(
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log_path: Path,
    cwd: Path = Path("/"),
    stop_signal: signal.Signals = signal.SIGTERM,
    death_signal: signal.Signals = signal.SIGTERM,
    privileges: Privileges | None = None,
) -> Child:
    """Start `argv` with exactly `env`, its output appended to `log_path`, in a session of its own.

    `death_signal` is what the kernel sends it when we die. Raises ServerError when the program cannot be executed.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ServerError(f"{name} must be started from the main thread: it would die with the thread that started it")
    how = privileges or Privileges()
    with open_log(log_path) as log:
        try:
            # A pipe of ours would break when we die before the child; a file does not.
            popen = subprocess.Popen(  # noqa: S603
                [*how.prefix, *argv],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=how.uid,
                group=how.gid,
                extra_groups=None if how.uid is None else [],
                # Runs after the switch of user, which would clear the signal; makes two system calls, takes no lock.
                preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509
            )
        except OSError as error:
            raise ServerError(f"{name} cannot be started: {argv[0]}: {error.strerror}") from error
    return Child(name=name, popen=popen, log_path=log_path, stop_signal=stop_signal)


def wait_ready(child: Child, is_ready: Callable[[], bool], *, deadline_seconds: float) -> None:
    """Poll `is_ready` until it holds; stop the child and raise ServerError with its last words when it never does."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        answers = is_ready()
        code = child.exit_code()  # asked after: what answered may be another program on the same port
        if answers and code is None:
            return
        if code is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            continue
        child.stop(grace_seconds=2.0)
        why = f"was not ready within {deadline_seconds:g} s" if code is None else f"ended with {describe_exit(code)}"
        raise ServerError(f"{child.name} {why}: {last_line(child.log_path)} (log: {child.log_path})")


def describe_exit(code: int) -> str:
    """`signal SIGKILL` or `exit code 3`."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def kill_group(leader_pid: int) -> None:
    """End what a dead or dying session leader left in its process group; nothing when the group is empty.

    Safe only while the leader is our own child or just reaped: a group id is not reused while a member lives.
    """
    try:
        os.killpg(leader_pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def log_tail(log_path: Path, lines: int = 10) -> list[str]:
    """The last non-empty lines of a log, at most 64 KiB of it looked at; empty when there is none."""
    try:
        with log_path.open("rb") as log:
            log.seek(max(0, log_path.stat().st_size - 65536))
            text = log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def last_line(log_path: Path) -> str:
    """The last thing a log says, or that it says nothing."""
    return next(iter(log_tail(log_path, 1)), "it logged nothing")


def open_log(log_path: Path) -> _LogFile:
    """Open for appending, mode 600; a log over LOG_LIMIT_BYTES first moves to `<name>.1`, replacing the one before."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    if log_path.exists() and log_path.stat().st_size > LOG_LIMIT_BYTES:
        log_path.replace(log_path.with_name(log_path.name + ".1"))
    return _LogFile(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))


class _LogFile:
    """A file descriptor that closes itself; subprocess takes anything with a `fileno`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: a fork may only do little
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return before_exec
