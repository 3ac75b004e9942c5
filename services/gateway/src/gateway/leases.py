"""The leases of running attempts: renewed while they run, settled when they end, come what may.

A hold outlives its gateway, so a lease must be renewed for as long as the gateway is at work, and a settlement that Redis
could not take must be tried again: until then the hold stays counted, which errs on the safe side.

Every second it is looked whether Redis still is what it was. When it has lost its holds, the running calls are held again
at once, while admission is closed, so that they are counted when it opens; and they go over to the epoch that opens then.
A call that a reaper took for abandoned is held again as far as there is room, and pays no more than that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from gateway.limits.limiter import LEASE_SECONDS, Admitted, Claim, Held, Limiter, Sight
from gateway.limits.redis import RedisAway

log = structlog.get_logger()

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 0.5
_RENEW_SECONDS = 8.0
_MAX_UNSETTLED = 50_000
_AT_ONCE = 200

Delivered = Callable[[], int]
_Name = tuple[str, int]


class Settlement(msgspec.Struct, frozen=True):
    """What a hold is to become; `epoch` is the one that the call's event names."""

    request_id: str
    attempt: int
    cost_nano: int
    tokens: int
    epoch: str


class Lease(msgspec.Struct):
    """A hold of this process: until when it surely holds by this machine's clock, in which epoch it is, and what of its
    attempt's cost it covers."""

    claim: Claim
    admitted: Admitted
    delivered: Delivered
    ends_at: float
    epoch: str
    covered_nano: int


class Leases:
    """Every hold of this process. `run` is a task."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._running: dict[_Name, Lease] = {}
        self._unsettled: deque[Settlement] = deque(maxlen=_MAX_UNSETTLED)
        self._now = asyncio.get_running_loop().time
        self._seen_epoch = ""
        self._renewed_at = 0.0
        self.held_again = 0

    def __len__(self) -> int:
        return len(self._running)

    @property
    def unsettled(self) -> int:
        """Settlements that Redis has not taken yet."""
        return len(self._unsettled)

    def begin(self, claim: Claim, admitted: Admitted, delivered: Delivered) -> None:
        """A hold was made; `delivered` tells how many output tokens its attempt has brought so far."""
        self._running[claim.request_id, claim.attempt] = Lease(
            claim, admitted, delivered, self._now() + LEASE_SECONDS, admitted.epoch, admitted.held_nano
        )

    def is_held(self, request_id: str, attempt: int) -> bool:
        """Whether the lease surely still runs, by this machine's own clock. Asked right before a provider is called: a
        process that was paused must not call with a hold that a reaper may have taken meanwhile."""
        lease = self._running.get((request_id, attempt))
        return lease is not None and self._now() < lease.ends_at - LEASE_SECONDS / 3

    async def assured(self, request_id: str, attempt: int) -> tuple[str, int] | None:
        """The epoch that an attempt is held in, and the nano-USD of its cost that are covered; None when it was settled.
        A lease that ran out while this process was held up is looked after first."""
        lease = self._running.get((request_id, attempt))
        if lease is None:
            return None
        if self._now() >= lease.ends_at:
            with suppress(RedisAway):
                await self._hold_again([(request_id, attempt)], await self._limiter.renew([]))
        return lease.epoch, lease.covered_nano

    def let_go(self, request_id: str, attempt: int) -> None:
        """Renew a hold no longer: its lease runs out, and a reaper tells of it. Nothing, when it was settled."""
        self._running.pop((request_id, attempt), None)

    def never_sent(self, request_id: str, attempt: int) -> None:
        """Free what an admission without an answer may have held: nothing was sent on the strength of it."""
        self._unsettled.append(Settlement(request_id, attempt, 0, 0, ""))

    async def settle(self, settlement: Settlement) -> None:
        """Settle a hold, now or, when Redis is away, as soon as it is back."""
        self._running.pop((settlement.request_id, settlement.attempt), None)
        try:
            await self._settle(settlement)
        except RedisAway:
            log.warning("settlement_waits", request_id=settlement.request_id)
            self._unsettled.append(settlement)

    async def run(self) -> None:
        """Look, renew and settle until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS if not self._unsettled else _RETRY_SECONDS)
            try:
                await self._look()
                while self._unsettled:
                    await self._settle(self._unsettled[0])
                    self._unsettled.popleft()
            except RedisAway:
                log.warning("leases_wait", running=len(self._running), unsettled=len(self._unsettled))

    async def _look(self) -> None:
        """See whether Redis is what it was; renew all leases when it is not, or when it is time."""
        if not self._running:
            return
        seen = await self._limiter.renew([])
        if seen.epoch and seen.epoch == self._seen_epoch and self._now() < self._renewed_at + _RENEW_SECONDS:
            return
        names = list(self._running)
        seen = await self._renew(names)
        self._seen_epoch, self._renewed_at = seen.epoch, self._now()
        await self._hold_again(self._to_hold_again(names, seen), seen)

    async def _renew(self, names: list[_Name]) -> Sight:
        began = self._now()
        leases = [self._running[name] for name in names]
        seen = await self._limiter.renew(
            [(*name, lease.delivered()) for name, lease in zip(names, leases, strict=True)]
        )
        for place, lease in enumerate(leases):
            if place not in seen.missing:
                lease.ends_at = began + LEASE_SECONDS
        return seen

    def _to_hold_again(self, names: list[_Name], seen: Sight) -> list[_Name]:
        """Those that are not held, and those that are to go over to the present epoch."""
        return [
            name
            for place, name in enumerate(names)
            if (lease := self._running.get(name)) is not None
            and (place in seen.missing or (seen.epoch and lease.epoch != seen.epoch))
        ]

    async def _hold_again(self, names: list[_Name], seen: Sight) -> None:
        if names:
            log.warning("holding_again", calls=len(names), epoch=seen.epoch or None)
        for start in range(0, len(names), _AT_ONCE):
            running = [name for name in names[start : start + _AT_ONCE] if name in self._running]
            await _all(self._hold_one_again(name, seen) for name in running)

    async def _hold_one_again(self, name: _Name, seen: Sight) -> None:
        lease, began = self._running[name], self._now()
        answer = await self._limiter.hold_again(Held(lease.claim, lease.admitted, lease.delivered(), lease.epoch), seen)
        if answer is None:
            return
        epoch, lease.covered_nano = answer
        lease.epoch = epoch or lease.epoch
        lease.ends_at = began + LEASE_SECONDS
        self.held_again += 1

    async def _settle(self, settlement: Settlement) -> None:
        await self._limiter.settle(
            settlement.request_id,
            settlement.attempt,
            settlement.cost_nano,
            settlement.tokens,
            "final",
            settlement.epoch,
        )


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it; the first failure is raised once all have ended."""
    ended = await asyncio.gather(*work, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException):
            raise one
