"""The counters in Redis that calls are admitted by, as far as billing writes them, and the epoch that opens admission.

While the key `epoch` is missing gateways admit nothing. Only billing writes it, once the counters hold at least what
the ledger does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import redis.asyncio as redis
from common.contracts.topology import EPOCH_KEY, GATEWAY_LOGS_KEY

_SECONDS = 5.0

# A counter that stands higher has counted what the ledger has not: it is left alone. Nano-USD fit a Lua number exactly.
_RAISE = """
for i, key in ipairs(KEYS) do
    local held = tonumber(redis.call('GET', key) or '-1')
    if held < tonumber(ARGV[i]) then redis.call('SET', key, ARGV[i]) end
end
"""


class Counters:
    """The counters of one Redis. Every method raises redis.exceptions.RedisError or OSError when it is away."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._raise = client.register_script(_RAISE)

    async def are_open(self) -> bool:
        """Whether admission is open."""
        return bool(await self._client.exists(EPOCH_KEY))

    async def waiting_events(self) -> int:
        """How many usage events wait in Redis for NATS to come back."""
        return int(await self._client.llen(GATEWAY_LOGS_KEY))

    async def raise_to(self, totals: Mapping[str, int]) -> None:
        """Set counters (nano-USD by key) that are missing or lower; a few hundred at a time."""
        if totals:
            await self._raise(keys=list(totals), args=list(totals.values()))

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
