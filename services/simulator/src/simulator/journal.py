"""The journal: one JSON line at a call's start and one at its end, synced to disk before the caller may see more.

Writes of one turn of the event loop, and those that come while a sync runs, share the next sync (group commit), which
runs in a thread. Whoever must not go on before its line is safe awaits `durable`. Without a path nothing is written
and nothing is waited for. What a record says is `records`' matter.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


class Journal:
    """An append-only file of lines, opened once and closed once."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = -1
        self._lines: list[bytes] = []
        self._batch: asyncio.Future[None] | None = None
        """The batch that takes lines now; None when the next line begins one."""
        self._newest: asyncio.Future[None] | None = None
        """The batch begun last: batches end in order, so whoever waits for this one has waited for all."""
        self._is_syncing = False
        self._has_failed = False

    @property
    def is_kept(self) -> bool:
        """Whether there is a file at all."""
        return self._path is not None

    @property
    def is_sound(self) -> bool:
        """Whether calls can still be recorded."""
        return not self._has_failed and (self._path is None or self._file >= 0)

    def open(self) -> None:
        """Opens the file, new or to go on with. Raises OSError."""
        if self._path is None:
            return
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that the file's own name survives a power loss
        finally:
            os.close(folder)

    async def close(self) -> None:
        """Waits for what is queued, then closes the file."""
        if self._file < 0:
            return
        try:
            await self.durable()
        finally:
            os.close(self._file)
            self._file = -1

    def append(self, line: bytes) -> None:
        """Queues one line (without its line end) for the next sync; memory is bounded by the calls in progress."""
        if self._path is None:
            return
        self._lines.append(line + b"\n")
        if self._batch is None:
            loop = asyncio.get_running_loop()
            self._batch = self._newest = loop.create_future()
            if not self._is_syncing:
                loop.call_soon(self._start_sync)

    async def durable(self) -> None:
        """Returns when every line queued so far is on disk. Raises OSError when the disk refuses."""
        if self._newest is not None:
            await asyncio.shield(self._newest)

    def _start_sync(self) -> None:
        batch, lines = self._batch, self._lines
        if batch is None:
            return
        self._batch, self._lines, self._is_syncing = None, [], True
        work = asyncio.get_running_loop().run_in_executor(None, _write_synced, self._file, b"".join(lines))
        work.add_done_callback(lambda done: self._end_sync(batch, done))

    def _end_sync(self, batch: asyncio.Future[None], work: asyncio.Future[None]) -> None:
        self._is_syncing = False
        failure = work.exception()
        if isinstance(failure, OSError):
            self._has_failed = True
            batch.set_exception(failure)
            batch.exception()  # a batch that nobody waits for must not be reported as forgotten
        else:
            batch.set_result(None)
        if self._batch is not None:
            self._start_sync()


def _write_synced(file: int, lines: bytes) -> None:
    rest = memoryview(lines)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)
