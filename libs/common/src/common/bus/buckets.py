"""Reading a whole bucket, none of it missed.

A watcher says itself when everything has come (None), and is not to be trusted: it also says so when the first entries have
left the server and not yet arrived, and then a whole bucket would seem to be gone. So what was the bucket's last revision
is waited for, too, unless nothing more comes because that very entry is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from nats.errors import Error as NatsError
from nats.js.kv import KV_DEL, KV_PURGE, KeyValue

from common.bus.connect import Bus

_READ_SECONDS = 30.0
_SILENCE_SECONDS = 2.0

Kept = TypeVar("Kept")


@asynccontextmanager
async def watching(bus: Bus, bucket: str) -> AsyncIterator[tuple[Any, int]]:
    """A watcher of a bucket, and the last revision in it before the watcher began; 0 when there was nothing in it."""
    store = await bus.jetstream.key_value(bucket)
    state = (await bus.jetstream.stream_info(f"KV_{bucket}")).state
    watcher: Any = await store.watchall()
    try:
        yield watcher, state.last_seq if state.messages else 0
    finally:
        with suppress(NatsError, OSError):
            await watcher.stop()


async def everything(watcher: Any, last: int) -> AsyncIterator[KeyValue.Entry]:
    """What a watcher brings, up to the revision that was the last before it began. Raises NatsError or TimeoutError when
    it says nothing."""
    has_sign, reached = False, 0
    while reached < last or not has_sign:
        try:
            entry = await watcher.updates(timeout=_SILENCE_SECONDS if has_sign else _READ_SECONDS)
        except (NatsError, TimeoutError):
            if not has_sign:
                raise
            return
        if entry is None:
            has_sign = True
            continue
        reached = max(reached, entry.revision or 0)
        yield entry


def is_gone(entry: KeyValue.Entry) -> bool:
    """Whether an entry says that its key was removed."""
    return entry.operation in (KV_DEL, KV_PURGE)


async def read_bucket(bus: Bus, name: str, keep: Callable[[bytes], Kept]) -> dict[str, Kept]:
    """Every key of a bucket with what `keep` makes of its present value. Raises what NATS raises when the bucket cannot
    be read, TimeoutError when that takes too long."""
    found: dict[str, Kept] = {}
    async with watching(bus, name) as (watcher, last), asyncio.timeout(_READ_SECONDS):
        async for entry in everything(watcher, last):
            if is_gone(entry):
                found.pop(entry.key, None)
            else:
                found[entry.key] = keep(entry.value or b"")
    return found
