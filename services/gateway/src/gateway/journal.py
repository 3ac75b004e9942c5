"""The last resort: events on the local disk, synced before a client hears that its call is complete.

Used only while both NATS and Redis are away. One JSON line an event; whoever starts next in the same folder, and this
process itself once the bus is back, publishes what the files hold and removes them. A file is locked for as long as its
writer may add to it, so that nobody removes one that still grows. A line that was cut by a crash was never acknowledged
to anybody and is left out.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog
from common.ids import uuid7

log = structlog.get_logger()

_BATCH_BYTES = 1 << 20

Publish = Callable[[bytes], Awaitable[None]]


class JournalFull(Exception):
    """The journal must not grow any further, or cannot be written."""


class Journal:
    """An append-only file of events that wait for the bus."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._path: Path | None = None
        self._descriptor = -1
        self._lock = asyncio.Lock()

    async def append(self, line: bytes) -> None:
        """Write one event and sync it. Raises JournalFull."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._write, line + b"\n")
            except OSError as error:
                self._close()
                raise JournalFull(f"the journal cannot be written: {error.strerror}") from error

    def has_events(self) -> bool:
        """Whether anything waits."""
        return bool(self._files())

    async def drain(self, publish: Publish) -> int:
        """Publish all events of all files, removing each file that is through; how many there were.

        Whatever `publish` raises ends the drain and leaves the file; its events have ids, so nothing counts twice. Files
        that another process still writes are left to it.
        """
        drained = 0
        for path in self._files():
            async with self._lock:
                if path == self._path:
                    self._close()
            descriptor = _locked(path)
            if descriptor is None:
                continue
            with os.fdopen(descriptor, "rb") as lines:
                while batch := await asyncio.to_thread(lines.readlines, _BATCH_BYTES):
                    drained += await _publish_all(batch, publish)
                path.unlink(missing_ok=True)
        return drained

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))

    def _write(self, line: bytes) -> None:
        if sum(map(_size_of, self._files())) + len(line) > self._max_bytes:
            raise JournalFull("the journal is full")
        if self._descriptor < 0:
            self._open()
        if os.write(self._descriptor, line) != len(line):  # a full disk; what follows must not be glued to the stump
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._descriptor)

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = self._folder / f"{uuid7()}.jsonl"
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._path = -1, None


async def _publish_all(lines: list[bytes], publish: Publish) -> int:
    """Publish the lines that are whole; how many. Raises the first failure, once all have been tried."""
    whole = [line.rstrip(b"\n") for line in lines if _is_whole(line)]
    for outcome in await asyncio.gather(*map(publish, whole), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    return len(whole)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # drained meanwhile
        return 0


def _locked(path: Path) -> int | None:
    """The file, opened and locked; None when its writer still lives, or another has drained it meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except ValueError:
        return False
    return True
