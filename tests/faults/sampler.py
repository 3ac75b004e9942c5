"""Looks at the counters in Redis every millisecond or two: spent + held must never pass a limit, not for a moment.

One script reads all counters of all budgets in one step, as admission does. Only what changed is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import redis.asyncio as redis
from common.contracts.topology import cost_key, held_key, other_key
from redis.exceptions import RedisError

from .journals import Sample

_READ = """
local found = { redis.call('EXISTS', 'epoch') }
for i = 1, #KEYS, 3 do
  local other = redis.call('HGET', KEYS[i + 1], 'total') or '0'
  found[#found + 1] = (redis.call('GET', KEYS[i]) or '0') .. ' ' .. other .. ' ' .. (redis.call('GET', KEYS[i + 2]) or '0')
end
return found
"""


class Sampler:
    """Samples until cancelled; `samples` holds what was seen, `looks` how often it looked."""

    def __init__(self, url: str, month: str, limits: Sequence[tuple[str, int]], pause_seconds: float = 0.001) -> None:
        self._client = redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        self._limits = limits
        self._pause_seconds = pause_seconds
        self._script = self._client.register_script(_READ)
        self._names = [
            name
            for key_id, _ in limits
            for name in (cost_key(key_id, month), other_key(f"key:{key_id}", month), held_key(key_id, month))
        ]
        self._last: dict[str, tuple[int, int, bool]] = {}
        self.samples: list[Sample] = []
        self.looks = 0

    async def run(self) -> None:
        """Look until cancelled; while Redis is away there is nothing to see."""
        try:
            while True:
                try:
                    await self._look()
                except (RedisError, OSError):
                    await asyncio.sleep(0.05)
                await asyncio.sleep(self._pause_seconds)
        finally:
            await self._client.aclose()

    async def _look(self) -> None:
        found = await self._script(keys=self._names)
        at, is_open = time.time(), bool(found[0])
        self.looks += 1
        for (key_id, limit), row in zip(self._limits, found[1:], strict=True):
            cost, other, held = map(int, row.split())
            if self._last.get(key_id) != (cost + other, held, is_open):
                self._last[key_id] = (cost + other, held, is_open)
                self.samples.append(Sample(at, key_id, cost + other, held, limit, is_open))
