"""A mirror: one bucket's snapshots in a service's own memory, so that a request in flight asks nobody.

It follows the bucket by watching it; after a reconnect, and every so often in any case, it reads the whole bucket
again, since a watcher may have missed what happened while it was away. A snapshot that cannot be read is left out and
counted,
never guessed at. Whoever wrote a snapshot can wait until this mirror has its revision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from nats.errors import Error as NatsError
from nats.js.kv import KeyValue

from common.bus.buckets import everything, is_gone, watching
from common.bus.connect import Bus

log = structlog.get_logger()

_RETRY_SECONDS = 0.25
_FIRST_READ_SECONDS = 15.0

OnChange = Callable[[str, bytes | None], None]
"""Called with a key and its bytes, or None when it is gone. Raises ValueError for a snapshot that makes no sense."""


class Mirror:
    """Follows one bucket. `run` is a task; `ready` is set once everything was read."""

    def __init__(self, bus: Bus, bucket: str, on_change: OnChange, *, reread_seconds: float = 300.0) -> None:
        self._bus = bus
        self.bucket = bucket
        self._on_change = on_change
        self._reread_seconds = reread_seconds
        self._again = asyncio.Event()
        self._moved = asyncio.Condition()
        self._keys: set[str] = set()
        self.ready = asyncio.Event()
        self.revision = 0
        self.unreadable = 0
        bus.after_reconnect(self.reread)

    async def reread(self) -> None:
        """Read the whole bucket again, soon."""
        self._again.set()

    async def run(self) -> None:
        """Follow until cancelled; an outage is waited out with what is known."""
        while True:
            try:
                await self._follow()
            except (OSError, NatsError, TimeoutError) as error:
                log.warning("mirror_waits", bucket=self.bucket, error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def wait_for(self, revision: int, timeout_seconds: float) -> bool:
        """Wait until this mirror holds a revision of its bucket; False when time ran out."""
        try:
            async with asyncio.timeout(timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: self.revision >= revision)
        except TimeoutError:
            return False
        return True

    async def _follow(self) -> None:
        """Read everything once, then follow until it is time to read everything again."""
        self._again.clear()
        async with watching(self._bus, self.bucket) as (watcher, last):
            await self._read_all(watcher, last)
            until = asyncio.get_running_loop().time() + self._reread_seconds
            while not self._again.is_set() and (left := until - asyncio.get_running_loop().time()) > 0:
                await self._next(watcher, left)

    async def _read_all(self, watcher: Any, last: int) -> None:
        """Read everything up to the revision that was the last before the watcher began."""
        seen: set[str] = set()
        async with asyncio.timeout(_FIRST_READ_SECONDS):
            async for entry in everything(watcher, last):
                await self._apply(entry)
                seen.add(entry.key)
        for gone in self._keys - seen:
            self._change(gone, None)
        self._keys &= seen
        self.ready.set()

    async def _next(self, watcher: Any, left: float) -> None:
        """Apply the next update, or come back after a while to see whether to read everything again."""
        update = asyncio.ensure_future(watcher.updates(timeout=left))
        again = asyncio.ensure_future(self._again.wait())
        try:
            await asyncio.wait((update, again), return_when=asyncio.FIRST_COMPLETED)
            if update.done() and (entry := update.result()) is not None:
                await self._apply(entry)
        except (NatsError, TimeoutError):
            return
        finally:
            for task in (update, again):
                task.cancel()
            await asyncio.gather(update, again, return_exceptions=True)

    async def _apply(self, entry: KeyValue.Entry) -> None:
        if is_gone(entry):
            self._keys.discard(entry.key)
            self._change(entry.key, None)
        else:
            self._keys.add(entry.key)
            self._change(entry.key, entry.value or b"")
        async with self._moved:
            self.revision = max(self.revision, entry.revision or 0)
            self._moved.notify_all()

    def _change(self, key: str, body: bytes | None) -> None:
        try:
            self._on_change(key, body)
        except ValueError as error:
            self.unreadable += 1
            log.error("snapshot_unreadable", bucket=self.bucket, key=key, error=type(error).__name__)
