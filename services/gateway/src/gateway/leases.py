"""The leases of running attempts: renewed while they run, settled when they end, come what may.

A hold outlives its gateway, so a lease must be renewed for as long as the gateway is at work, and a settlement that Redis
could not take must be tried again: until then the hold stays counted, which errs on the safe side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.limits.limiter import LEASE_SECONDS, Limiter
from gateway.limits.redis import RedisAway

log = structlog.get_logger()

_RENEW_SECONDS = 8.0
_MAX_UNSETTLED = 50_000

Delivered = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a hold is to become."""

    request_id: str
    attempt: int
    cost_nano: int
    tokens: int
    suffix: str


class Leases:
    """Every hold of this process. `run` is a task."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._running: dict[tuple[str, int], tuple[Delivered, float]] = {}
        self._unsettled: deque[Settlement] = deque(maxlen=_MAX_UNSETTLED)
        self._now = asyncio.get_running_loop().time

    def __len__(self) -> int:
        return len(self._running)

    @property
    def unsettled(self) -> int:
        """Settlements that Redis has not taken yet."""
        return len(self._unsettled)

    def begin(self, request_id: str, attempt: int, delivered: Delivered) -> None:
        """A hold was made; `delivered` tells how many output tokens its attempt has brought so far."""
        self._running[request_id, attempt] = (delivered, self._now() + LEASE_SECONDS)

    def is_held(self, request_id: str, attempt: int) -> bool:
        """Whether the lease surely still runs, by this machine's own clock. Asked right before a provider is called: a
        process that was paused must not call with a hold that a reaper may have taken meanwhile."""
        held = self._running.get((request_id, attempt))
        return held is not None and self._now() < held[1] - LEASE_SECONDS / 3

    def let_go(self, request_id: str, attempt: int) -> None:
        """Renew a hold no longer: its lease runs out, and a reaper tells of it. Nothing, when it was settled."""
        self._running.pop((request_id, attempt), None)

    async def settle(self, settlement: Settlement) -> None:
        """Settle a hold, now or, when Redis is away, as soon as it is back."""
        self._running.pop((settlement.request_id, settlement.attempt), None)
        try:
            await self._settle(settlement)
        except RedisAway:
            log.warning("settlement_waits", request_id=settlement.request_id)
            self._unsettled.append(settlement)

    async def run(self) -> None:
        """Renew and settle until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS if not self._unsettled else 0.5)
            try:
                await self._renew()
                while self._unsettled:
                    await self._settle(self._unsettled[0])
                    self._unsettled.popleft()
            except RedisAway:
                log.warning("leases_wait", running=len(self._running), unsettled=len(self._unsettled))

    async def _renew(self) -> None:
        running = list(self._running.items())
        if not running:
            return
        now = self._now()
        await self._limiter.renew([(request, attempt, told()) for (request, attempt), (told, _) in running])
        for name, (told, _) in running:
            if name in self._running:
                self._running[name] = (told, now + LEASE_SECONDS)

    async def _settle(self, settlement: Settlement) -> None:
        await self._limiter.settle(
            settlement.request_id,
            settlement.attempt,
            settlement.cost_nano,
            settlement.tokens,
            "final",
            settlement.suffix,
        )
