"""The runner's folder `.tollgate`: what lies where, and who holds it.

One runner at a time: it holds a lock on the folder for as long as it lives, so a killed one never leaves a lock behind.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tollgate.errors import RunnerError


@dataclass(frozen=True)
class Home:
    """Where everything of one runner lies."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run_file(self) -> Path:
        return self.root / "run.json"

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def ports_file(self) -> Path:
        return self.root / "ports.json"

    @property
    def children_file(self) -> Path:
        return self.root / "children.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "runner.lock"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def simulator_journal(self) -> Path:
        return self.root / "simulator.jsonl"

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Create the folders. The root may be entered by others, so that PostgreSQL can run as another user; what is
        secret in it has its own mode."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.state, self.logs, self.journal):
                folder.mkdir(exist_ok=True)
            self.journal.chmod(0o700)
        except OSError as error:
            raise RunnerError(f"{self.root} cannot be used as the runner's folder: {error.strerror}") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this runner; RunnerError when another one does."""
        self.make()
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _try_lock(descriptor):
                raise RunnerError(f"another runner has just started on {self.root}")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)  # and with it the lock

    def holder(self) -> int | None:
        """The pid of the runner that holds the folder now; None when nobody does."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if _try_lock(descriptor):
                return None
            text = os.pread(descriptor, 32, 0).decode().strip()
            return int(text) if text.isdigit() else 0
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
