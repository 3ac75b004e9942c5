"""The last resort: events on the local disk, synced before a client hears that its call is complete.

Used only while both NATS and Redis are away. One file a process, one JSON line an event; whoever starts next in the same
folder, and this process itself once the bus is back, publishes what the files hold and removes them. A line that was cut
by a crash was never acknowledged to anybody and is left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog
from common.ids import uuid7

log = structlog.get_logger()

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
        self._size = 0
        self._lock = asyncio.Lock()

    async def append(self, line: bytes) -> None:
        """Write one event and sync it. Raises JournalFull."""
        async with self._lock:
            if self._size + len(line) > self._max_bytes:
                raise JournalFull("the journal is full")
            try:
                await asyncio.to_thread(self._write, line + b"\n")
            except OSError as error:
                raise JournalFull(f"the journal cannot be written: {error.strerror}") from error

    def has_events(self) -> bool:
        """Whether anything waits."""
        return any(self._folder.glob("*.jsonl"))

    async def drain(self, publish: Publish) -> int:
        """Publish all events of all files, removing each file that is through; how many there were.

        Whatever `publish` raises ends the drain and leaves the file; its events have ids, so nothing counts twice.
        """
        drained = 0
        async with self._lock:
            self._close()
            for path in sorted(self._folder.glob("*.jsonl")):
                for line in (await asyncio.to_thread(path.read_bytes)).split(b"\n"):
                    if _is_whole(line):
                        await publish(line)
                        drained += 1
                await asyncio.to_thread(path.unlink)
        return drained

    def _write(self, line: bytes) -> None:
        if self._descriptor < 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"{uuid7()}.jsonl"
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            folder = os.open(self._folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        os.write(self._descriptor, line)
        os.fsync(self._descriptor)
        self._size += len(line)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._size, self._path = -1, 0, None


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True
