"""The counters in Redis that calls are admitted by, as far as billing writes them, and the epoch that opens admission.

While the key `epoch` is missing gateways admit nothing. Only billing writes it, once the counters hold at least what
the ledger does. `cost:` is the gateways': billing sets it only
while admission is closed. `other:` is billing's alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import redis.asyncio as redis
from common.contracts.topology import (
    EPOCH_KEY,
    GATEWAY_LOGS_KEY,
    MOST_SETTLED_AGAIN,
    REAPED_SECONDS,
    SETTLE_AGAIN_KEY,
    reaped_key,
)

from billing.domain.reaped import Mark

_SECONDS = 5.0
_SCANNED_AT_ONCE = 1_000

# A quota that stands higher has counted calls that are still running: it is left alone.
_RAISE = """
for i, key in ipairs(KEYS) do
    local held = tonumber(redis.call('GET', key) or '-1')
    if held < tonumber(ARGV[i]) then redis.call('SET', key, ARGV[i]) end
end
"""

# Absolute and versioned: told twice, late or in any order it ends the same. Nothing is not worth a key.
_TELL = """
for i, key in ipairs(KEYS) do
    local total, version = ARGV[2 * i - 1], tonumber(ARGV[2 * i])
    local known = tonumber(redis.call('HGET', key, 'version') or '-1')
    if known < version and (known >= 0 or total ~= '0') then
        redis.call('HSET', key, 'total', total, 'version', ARGV[2 * i])
    end
end
"""

# All or none, so that whoever asks knows what is to be forgotten.
_ASK = """
if redis.call('LLEN', KEYS[1]) + #ARGV - 1 > tonumber(ARGV[1]) then return 0 end
redis.call('RPUSH', KEYS[1], unpack(ARGV, 2))
return 1
"""

_CLOSE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisState(NamedTuple):
    """The epoch that stands in Redis (None: admission is closed), and which run of which server says so."""

    epoch: str | None
    run_id: str


class Counters:
    """The counters of one Redis. Every method raises redis.exceptions.RedisError or OSError when it is away."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._raise = client.register_script(_RAISE)
        self._tell = client.register_script(_TELL)
        self._ask = client.register_script(_ASK)
        self._close = client.register_script(_CLOSE)

    async def state(self) -> RedisState:
        """Whether admission is open, and on which run of the server: another one may have lost what this one held."""
        async with self._client.pipeline(transaction=True) as pipeline:
            pipeline.get(EPOCH_KEY)
            pipeline.info("server")
            epoch, server = await pipeline.execute()
        return RedisState(epoch.decode() if epoch is not None else None, str(server["run_id"]))

    async def waiting_events(self) -> int:
        """How many usage events wait in Redis for NATS to come back."""
        return int(await self._client.llen(GATEWAY_LOGS_KEY))

    async def raise_to(self, totals: Mapping[str, int]) -> None:
        """Set counts of calls by key that are missing or lower; a few hundred at a time."""
        if totals:
            await self._raise(keys=list(totals), args=list(totals.values()))

    async def restore(self, totals: Mapping[str, int]) -> None:
        """Set what settlement has added, in nano-USD by key; a few hundred at a time. Only while admission is closed:
        what an event adds that is booked later, of an epoch before, is billing's to count (`tell_other`)."""
        if totals:
            await self._client.mset(dict(totals))

    async def forget(self, keys: Sequence[str]) -> None:
        """Take these keys out; what `restore` says of when holds here, too."""
        if keys:
            await self._client.delete(*keys)

    async def costs(self) -> AsyncIterator[str]:
        """The keys of everything that settlement has added to; those that come or go meanwhile may be left out."""
        async for key in self._client.scan_iter("cost:*", count=_SCANNED_AT_ONCE):
            yield key.decode()

    async def mark_reaped(self, marks: Sequence[Mark]) -> None:
        """Set what reapers counted of calls; a few hundred at a time. Only while admission is closed."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for mark in marks:
                key = reaped_key(mark.request_id, mark.attempt)
                pipeline.hset(key, mapping={"cost": mark.cost_nano, "counters": "\n".join(mark.suffixes)})
                pipeline.expire(key, REAPED_SECONDS)
            await pipeline.execute()

    async def tell_other(self, totals: Mapping[str, tuple[int, int]]) -> None:
        """Set what billing counts: nano-USD and version by key, where the version is later; a few hundred at a time."""
        if totals:
            await self._tell(keys=list(totals), args=[part for pair in totals.values() for part in pair])

    async def ask_to_settle(self, resettlements: Sequence[str]) -> bool:
        """Ask gateways for settlements (JSON); a few hundred at a time. False when too many wait already."""
        return bool(await self._ask(keys=[SETTLE_AGAIN_KEY], args=[MOST_SETTLED_AGAIN, *resettlements]))

    async def amounts(self, keys: Sequence[str]) -> list[int]:
        """The numbers under these keys; zero where there is none."""
        return [int(found or 0) for found in await self._client.mget(keys)] if keys else []

    async def others(self, keys: Sequence[str]) -> list[int]:
        """The totals of billing's own counters under these keys; zero where there is none."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hget(key, "total")
            return [int(found or 0) for found in await pipeline.execute()]

    async def close(self, epoch: str) -> None:
        """Close admission, if it is open under this epoch."""
        await self._close(keys=[EPOCH_KEY], args=[epoch])

    async def open(self, epoch: str) -> None:
        """Open admission under this epoch, unless it is open already."""
        await self._client.set(EPOCH_KEY, epoch, nx=True)


@asynccontextmanager
async def open_counters(url: str) -> AsyncIterator[Counters]:
    """The counters of the Redis at a URL; it need not be there yet."""
    client = redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
    try:
        yield Counters(client)
    finally:
        await client.aclose()
