"""Who has which `Idempotency-Key`: claims in the money Redis, which forgets nothing, with a lease while they run.

The scripts decide; nothing here does. A process that dies takes its renewals with it: its claims are then known to have
run, and whatever they have cost, nobody runs them again. Claims that an emptied Redis has lost are written again by the
next renewal, before billing opens admission.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, cast

import structlog

from gateway.limits.redis import RedisAway, RedisLine, RedisRefused

log = structlog.get_logger()

LIFE_SECONDS = 24 * 3600.0
"""How long a key means the same call."""

LEASE_SECONDS = 15.0
"""How long a request is known to run without a word from its gateway."""

_RENEW_SECONDS = 2.0
_NAMES = ("claim", "renew", "end")
_MOST_UNENDED = 10_000

Verdict = Literal["mine", "running", "over", "other", "revoked", "closed"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that a request asks for. `digest` is of owner and key, `fingerprint` of these and of what is asked."""

    digest: str
    fingerprint: str
    request_id: str
    api_key_id: str | None


class Claims:
    """The claims of this process. `run` is a task. Raises RedisAway when Redis does not answer."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line
        self._scripts = {name: (files("gateway.idempotency") / f"{name}.lua").read_bytes() for name in _NAMES}
        self._running: dict[str, Claim] = {}
        self._unended: deque[tuple[Claim, bool]] = deque(maxlen=_MOST_UNENDED)

    def __len__(self) -> int:
        return len(self._running)

    async def take(self, claim: Claim) -> Verdict:
        """Claim a key, or learn who has it."""
        try:
            verdict = await self._eval(
                "claim",
                claim.digest,
                claim.fingerprint,
                claim.request_id,
                int(LEASE_SECONDS * 1000),
                int(LIFE_SECONDS * 1000),
                claim.api_key_id or "",
            )
        except RedisAway:  # perhaps it was claimed all the same, and nobody is going to use it
            self._unended.append((claim, True))
            raise
        if verdict == b"mine":
            self._running[claim.request_id] = claim
        return cast(Verdict, verdict.decode())

    async def end(self, claim: Claim, *, is_free: bool) -> None:
        """The request has ended. `is_free`: nothing came of it, and the key may be used for another try; else it must
        not run again. When Redis is away this happens as soon as it is back."""
        self._running.pop(claim.request_id, None)
        try:
            await self._end(claim, is_free)
        except RedisAway:
            log.warning("claim_end_waits", request_id=claim.request_id)
            self._unended.append((claim, is_free))

    async def run(self) -> None:
        """Renew and end until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                await self._renew()
                while self._unended:
                    await self._end(*self._unended[0])
                    self._unended.popleft()
            except RedisAway:
                log.warning("claims_wait", running=len(self._running), unended=len(self._unended))

    async def _renew(self) -> None:
        running = [part for c in self._running.values() for part in (c.digest, c.fingerprint, c.request_id)]
        if running:
            await self._eval("renew", int(LEASE_SECONDS * 1000), int(LIFE_SECONDS * 1000), *running)

    async def _end(self, claim: Claim, is_free: bool) -> None:
        life_ms = int(LIFE_SECONDS * 1000)
        await self._eval("end", claim.digest, claim.fingerprint, claim.request_id, life_ms, 1 if is_free else 0)

    async def _eval(self, name: str, *arguments: bytes | str | int) -> bytes:
        try:
            answer: bytes = await self._line.ask("EVAL", self._scripts[name], 0, *arguments)
        except RedisRefused as error:
            raise RedisAway(str(error).partition(" ")[0]) from error
        return answer
