"""The response cache, for those who ask for it: the same request to the same place within its time is answered once.

A virtual key asks by its `cache_ttl_s`, a request by `x-tollgate-cache-ttl` (seconds; 0: not this one). The same request
is the same body, but for the name of the model, at the same door, to the same model with the same credential, for the
same team (or key without one). Of those who ask at once one calls the provider; the others wait for its answer, for a
while. A hit passes the limits like any call, costs nothing, and is told by an event of its own.

Nothing depends on the cache: with its Redis away, every call is a call.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog
from common.clock import Clock

from gateway.cache.answers import Answer, Recording
from gateway.cache.sealed import SealedCache
from gateway.limits.redis import RedisAway
from gateway.pipeline import Pipeline
from gateway.running import Running
from gateway.shapes import Refusal

log = structlog.get_logger()

HEADER = b"x-tollgate-cache-ttl"
MAX_SECONDS = 30 * 86_400

_FLIGHT_SECONDS = 30.0
"""How long others wait for the one who called: after that they call, too."""

_LOOK_AGAIN_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2)


class _Kept(msgspec.Struct, frozen=True):
    kept_at: float
    answer: Answer


@dataclass(frozen=True, slots=True)
class CachedCalls:
    """Answers calls from the cache where that was asked for, else through the pipeline."""

    pipeline: Pipeline
    cache: SealedCache
    clock: Clock

    async def run(self, call: Running) -> None:
        """Answer a call, as the pipeline does."""
        seconds = _seconds_of(call)
        if seconds and self.cache.is_up:
            await self._run(call, seconds)
        else:
            await self.pipeline.run(call)

    async def _run(self, call: Running, seconds: int) -> None:
        name = _name(call)
        call.log.cache = "miss"
        with call.client.watch(_FLIGHT_SECONDS * 2):
            answer, leads = await self._look(call, name, seconds)
        try:
            if answer is not None:
                call.log.cache = "hit"
                await self.pipeline.repeat(call, answer)
                return
            call.headers.append((b"x-tollgate-cache", b"miss"))
            call.client.pass_through(partial(Recording, before_end=partial(self._keep, call, name, seconds)))
            await self.pipeline.run(call)
        finally:
            if leads:
                with suppress(RedisAway):
                    await self.cache.drop(f"flight:{name}")

    async def _look(self, call: Running, name: str, seconds: int) -> tuple[Answer | None, bool]:
        """An answer that is young enough; else whether this call is the one that others wait for."""
        until, tries = self.clock.monotonic() + _FLIGHT_SECONDS, 0
        with suppress(RedisAway):
            while True:
                answer = await self._find(name, seconds)
                if answer is not None or self.clock.monotonic() > until:
                    return answer, False
                if await self.cache.begin(f"flight:{name}", call.log.request_id, _FLIGHT_SECONDS):
                    return await self._find(name, seconds), True  # it may have come since
                await asyncio.sleep(_LOOK_AGAIN_SECONDS[min(tries, len(_LOOK_AGAIN_SECONDS) - 1)])
                tries += 1
        return None, False

    async def _find(self, name: str, seconds: int) -> Answer | None:
        found = await self.cache.find(f"response:{name}")
        with suppress(msgspec.DecodeError):
            kept = msgspec.msgpack.decode(found, type=_Kept) if found is not None else None
            if kept is not None and self._age(kept) <= seconds:
                return kept.answer
        return None

    async def _keep(self, call: Running, name: str, seconds: int, sent: Recording) -> None:
        if call.log.status != "completed" or call.client.standing != "final":
            return
        answer = sent.answer(name)
        if answer is None:
            return
        kept = msgspec.msgpack.encode(_Kept(self.clock.now().timestamp(), answer))
        try:
            await self.cache.keep(f"response:{name}", kept, seconds)
        except RedisAway:
            log.warning("response_not_cached", request_id=call.log.request_id)

    def _age(self, kept: _Kept) -> float:
        return self.clock.now().timestamp() - kept.kept_at


def _seconds_of(call: Running) -> int:
    """How old an answer this call takes; 0: it wants none. Raises Refusal."""
    asked = call.client.headers.get(HEADER)
    if asked is None:
        return call.terms.key.cache_seconds
    if not asked.isdigit() or len(asked) > 8 or int(asked) > MAX_SECONDS:
        raise Refusal(
            "invalid_request", f"x-tollgate-cache-ttl is 0 to {MAX_SECONDS} seconds", param="x-tollgate-cache-ttl"
        )
    return int(asked)


def _name(call: Running) -> str:
    """The same for the same request to the same place by the same team; a response is kept for its key alone, since only
    that key can go on from it."""
    place, key = call.plan.deployments[0], call.terms.key
    is_shared = key.team_id is not None and call.request.dialect != "responses"
    digest = hashlib.sha256()
    for part in (
        f"team:{key.team_id}" if is_shared else f"key:{key.id}",
        call.client.path,
        place.provider_id,
        place.model_name,
        place.credential.id,
        call.request.headers.decode("latin-1"),
    ):
        digest.update(b"%d:%b" % (len(part), part.encode()))
    for name, value in call.request.members.items():
        if name != "model":
            digest.update(b"%d:%b%d:%b" % (len(name), name.encode(), len(bytes(value)), bytes(value)))
    return digest.hexdigest()
