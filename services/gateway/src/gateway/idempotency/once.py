"""One request, however often it is sent: the story of a call that carries an `Idempotency-Key`.

    whose key is it → claim it (money Redis) and look for an answer (cache Redis), both at once → run, taking down what is
    sent → before the last byte: keep the answer and close the claim, or free the key when nothing came of it

Whether something came of it is the doors' to say (`Client.standing`): a call that was completed or has cost something, a
write that was done. While nobody knows, the key is never used again: better an answer that is gone than a second bill.
A call goes on when its client hangs up, so that the retry finds its answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.api.client import Client
from gateway.cache.answers import Answer, Recording
from gateway.cache.sealed import SealedCache
from gateway.idempotency.claims import LIFE_SECONDS, Claim, Claims, Verdict
from gateway.limits.redis import RedisAway
from gateway.shapes import Header, Refusal

log = structlog.get_logger()

HEADER = b"idempotency-key"
_REPLAYED: Header = (b"x-tollgate-replayed", b"true")
_SYNTAX = re.compile(rb"[\x20-\x7e]{1,255}")
_BOUNDARY = re.compile(rb'boundary="?([^";,]+)')
_BODY_SECONDS = 30.0
_SMALL_BODY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose key it is: `owner` is the scope within which it means one call; `api_key_id` a virtual key's id."""

    owner: str
    api_key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """Runs what carries an Idempotency-Key at most once, and gives its answer again."""

    claims: Claims
    cache: SealedCache

    async def run(
        self, client: Client, asker: Asker, what: bytes, max_body_bytes: int, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Do `work`, or answer as it was answered before. `what` is method and target. Raises Refusal."""
        key = client.headers[HEADER]
        if not _SYNTAX.fullmatch(key):
            raise Refusal(
                "invalid_request", "Idempotency-Key is 1 to 255 printable characters", param="Idempotency-Key"
            )
        body = await client.body(max_body_bytes, _BODY_SECONDS)
        if len(body) <= _SMALL_BODY_BYTES:
            claim = _claim(client, asker, key, what, body)
        else:  # not on the loop, where all other calls would wait for it
            claim = await asyncio.to_thread(_claim, client, asker, key, what, body)
        answer = await self._begin(claim)
        if answer is not None:
            log.info("answer_replayed", request_id=client.request_id, path=client.path)
            await answer.give(client, _REPLAYED)
            return
        client.put_back(body)
        await self._run(client, claim, work)

    async def _begin(self, claim: Claim) -> Answer | None:
        """The claim is ours and is to be run (None), or the answer is here. Raises Refusal."""
        if not self.cache.is_up:  # an answer that cannot be kept would be paid for and lost with the connection
            raise _unavailable()
        try:
            verdict, answer = await self._ask(claim)
        except RedisAway:
            await self.claims.end(claim, is_free=True)
            raise _unavailable() from None
        if verdict == "mine" and answer is not None:  # the claim was lost, its answer was not
            await self.claims.end(claim, is_free=False)
        if answer is None and verdict == "mine":
            return None
        raise_unless_answered(verdict, claim, answer)
        return answer

    async def _ask(self, claim: Claim) -> tuple[Verdict, Answer | None]:
        taking = asyncio.ensure_future(self.claims.take(claim))
        try:
            answer = await self._find(claim)
        finally:
            verdict = await taking
        if verdict == "over" and answer is None:  # it was kept, if at all, before it was over
            answer = await self._find(claim)
        return verdict, answer

    async def _run(self, client: Client, claim: Claim, work: Callable[[], Awaitable[None]]) -> None:
        ended = False

        async def before_end(sent: Recording) -> None:
            nonlocal ended
            ended = True
            await self._end(client, claim, sent)

        client.pass_through(partial(Recording, before_end=before_end))
        client.outlives = True
        try:
            await work()
        finally:
            if not ended:
                ended = True
                await asyncio.shield(self._end(client, claim, None))

    async def _end(self, client: Client, claim: Claim, sent: Recording | None) -> None:
        if client.standing == "final" and sent is not None:
            await self._keep(claim, sent)
        await self.claims.end(claim, is_free=client.standing == "open")

    async def _keep(self, claim: Claim, sent: Recording) -> None:
        answer = sent.answer(claim.fingerprint)
        try:
            is_kept = answer is not None and await self.cache.keep(_name(claim), answer.encode(), LIFE_SECONDS)
        except RedisAway:
            is_kept = False
        if not is_kept:
            log.warning("answer_not_kept", request_id=claim.request_id)

    async def _find(self, claim: Claim) -> Answer | None:
        kept = await self.cache.find(_name(claim))
        return Answer.decode(kept) if kept is not None else None


def raise_unless_answered(verdict: Verdict, claim: Claim, answer: Answer | None) -> None:
    """Refuse what cannot be answered: each verdict that is not ours to run, by its own reason."""
    if verdict == "revoked":
        raise Refusal("invalid_api_key")
    if verdict == "closed":
        raise Refusal("service_unavailable", "limits cannot be checked right now", retry_after_ms=1000)
    if verdict == "other" or (answer is not None and answer.fingerprint != claim.fingerprint):
        raise Refusal("idempotency_key_reused", param="Idempotency-Key")
    if answer is None:
        raise Refusal("idempotency_in_flight" if verdict == "running" else "idempotency_answer_gone")


def _claim(client: Client, asker: Asker, key: bytes, what: bytes, body: bytes) -> Claim:
    digest = hashlib.sha256(b"%b\n%b" % (asker.owner.encode(), key)).hexdigest()
    content_type = client.headers.get(b"content-type", b"")
    fingerprint = hashlib.sha256(b"%b\n%b\n%b\n" % (digest.encode(), key, what))
    fingerprint.update(_without_boundary(content_type, body))
    return Claim(digest, fingerprint.hexdigest(), client.request_id, asker.api_key_id)


def _without_boundary(content_type: bytes, body: bytes) -> bytes:
    """A form's body without what its sender draws anew for each try."""
    boundary = _BOUNDARY.search(content_type) if content_type.startswith(b"multipart/") else None
    return body.replace(boundary.group(1), b"") if boundary is not None else body


def _name(claim: Claim) -> str:
    return f"answer:{claim.digest}"


def _unavailable() -> Refusal:
    return Refusal("service_unavailable", "answers cannot be kept right now; try again", retry_after_ms=1000)
