"""What happens to a call: the whole story on one screen.

    who is it (memory) → what does the name lead to (pure) → for each deployment until one answers: hold its worst case
    (Redis) → send (provider) → relay → settle what it cost (Redis) and record the one event (NATS) → the last byte

Settling and recording cannot be skipped: whatever ends an attempt, `_close` runs, in a task of its own that neither a
hang-up nor a shutdown cancels. A client gets the end of its answer only after the event is safe.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from common.clock import Clock
from common.money import plain
from common.pricing import Price

from gateway.api.client import ClientGone
from gateway.api.sizes import texts_of
from gateway.cache.answers import Answer
from gateway.charging import cap, charge, charge_operator, decision_of, epoch_of, settlement_of
from gateway.finishing import Finishing
from gateway.leases import Leases
from gateway.limits.answers import is_of_place, limit_headers, refusal_of, refused_headers
from gateway.limits.limiter import Admitted, Limiter, Refused
from gateway.limits.redis import RedisAway
from gateway.limits.tokenizers import Tokenizers
from gateway.metering import AttemptLog, NowhereToStore, Recorder, encode_usage
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Outgoing, StreamDecoder
from gateway.routing.health import NOTHING_LEFT, Health
from gateway.routing.plan import Deployment
from gateway.routing.tries import Tries
from gateway.running import Running
from gateway.shapes import ErrorAnswer, Refusal, failure_answer, refusal_answer, usage_event
from gateway.shortcut import shortcut
from gateway.upstream.attempt import failure_of, open_attempt
from gateway.upstream.client import Deadlines, UpstreamClient, UpstreamError, UpstreamResponse

_SLOW_CLIENT_SECONDS = 1.0
_AFTER_DONE_SECONDS = 0.5
_UNSTORED = Refusal("service_unavailable", "the call could not be recorded", retry_after_ms=1000)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Takes calls from admission to their last byte."""

    limiter: Limiter
    leases: Leases
    recorder: Recorder
    upstream: UpstreamClient
    deadlines: Deadlines
    clock: Clock
    source: str
    max_answer_bytes: int
    openai_codes: bool
    health: Health
    tokenizers: Tokenizers
    finishing: Finishing = field(default_factory=Finishing)

    async def run(self, call: Running) -> None:
        """Answer a call. Raises Refusal when nothing was attempted; every other end is answered here."""
        try:
            await self._run(call)
        finally:
            for attempt in call.attempts:  # what could not be settled is left to the reaper, not renewed for ever
                self.leases.let_go(call.log.request_id, attempt.number)

    async def repeat(self, call: Running, answer: Answer) -> None:
        """Answer a call by an answer that is kept: let in like any other, at no cost, told by an event of its own.
        Raises Refusal."""
        try:
            admitted = await self._admit(call, call.plan.deployments[0])
            if isinstance(admitted, Refused):
                raise _refusal(call, admitted)
            await self.finishing.run(self._give(call, answer))
        finally:
            self.leases.let_go(call.log.request_id, 1)

    async def _run(self, call: Running) -> None:
        failure: ProviderFailed | None = None
        refused: Refused | None = None
        tries = Tries(call.plan.deployments, self.health)
        while (deployment := tries.following(failure)) is not None:
            if tries.pause_seconds:
                await asyncio.sleep(tries.pause_seconds)
            admitted = await self._admit(call, deployment)
            if isinstance(admitted, Refused):
                if is_of_place(refused := admitted):
                    continue
                break
            try:
                with call.client.watch(self._longest(call)):
                    response = await self._send(call, deployment, call.outgoing(deployment, admitted))
                    await (self._relay if call.request.streamed else self._read)(call, deployment, response)
            except ClientGone:
                self._stopped(call, "client_disconnected", "the client hung up")
                await self.finishing.run(self._close_unseen(call))
                return
            except asyncio.CancelledError:
                self._stopped(call, "gateway_stopped", "the gateway was stopped")
                await self.finishing.run(self._close_unseen(call))
                raise
            except (ProviderFailed, UpstreamError) as error:
                failure = error if isinstance(error, ProviderFailed) else failure_of(error, deployment.provider)
                self.health.failed(deployment, failure)
                self._failed(call, failure)
                if call.has_started or not failure.row.falls_back:
                    break
                await self._assure(call)
                await self._settle(call)
                continue
            self.health.succeeded(deployment)
            await self.finishing.run(self._complete(call))
            return
        if failure is None:
            assert refused is not None
            raise _refusal(call, refused)
        await self.finishing.run(self._report(call, failure))

    # --- before the provider ---------------------------------------------------------------------------------------

    async def _admit(self, call: Running, deployment: Deployment) -> int | Refused:
        """Hold the worst case of the next attempt; the most tokens it may put out, or why it may not run."""
        price, call.counted_off = deployment.model.price_at(call.log.started_at), 0
        claim = call.claim(deployment, price)
        try:
            admitted = await self.limiter.admit(claim)
            if isinstance(admitted, Refused) and await self._count(call, deployment, admitted):
                claim = call.claim(deployment, price)
                admitted = await self.limiter.admit(claim)
        except RedisAway:
            self.leases.never_sent(claim.request_id, claim.attempt)
            return Refused("closed")
        if isinstance(admitted, Refused):
            return admitted
        self._admitted(call, deployment, price, admitted)
        self.leases.begin(claim, admitted, call.delivered)
        if claim.may_cut_output:
            call.served.append((b"x-tollgate-max-tokens", b"%d" % admitted.output_tokens))
        return admitted.output_tokens

    async def _count(self, call: Running, deployment: Deployment, refused: Refused) -> bool:
        """Count the tokens of a call whose bytes were too many; whether they are fewer. (Simulators count otherwise.)"""
        request = call.request
        if request.is_open or request.operation is not None or deployment.is_simulated:
            return False
        texts = texts_of(request.members)
        reading = deployment.model.reading
        call.counted_off = await self.tokenizers.count_off(refused, reading, request.text_bytes, texts)
        return call.counted_off > 0

    def _admitted(self, call: Running, deployment: Deployment, price: Price, admitted: Admitted) -> None:
        log, number = call.log, len(call.attempts) + 1
        log.period = admitted.counters.month
        log.simulated = deployment.is_simulated
        if number == 1:
            call.admitted_ms = admitted.at_ms
            log.decision = decision_of(call.terms.key, admitted)
            call.headers.extend(limit_headers(admitted))
        call.deployment, call.decoder, call.served = deployment, None, []
        call.attempts.append(
            AttemptLog(
                number=number,
                provider_type=deployment.provider.type,
                provider_id=deployment.provider_id,
                model=deployment.model.name,
                credential_id=deployment.credential.id,
                price=price,
                held_nano=admitted.held_nano,
                budgets=() if deployment.credential.is_own else admitted.counters.names,
                epoch=admitted.epoch,
                is_own=deployment.credential.is_own,
            )
        )
        call.client.standing = "unsure"

    # --- at the provider -------------------------------------------------------------------------------------------

    def _longest(self, call: Running) -> float | None:
        """How long a stream may take, its client's reading included. A whole answer is written after its provider is
        done with it, and the provider has deadlines of its own."""
        return call.within(self.deadlines).total_seconds + _SLOW_CLIENT_SECONDS if call.request.streamed else None

    async def _send(self, call: Running, deployment: Deployment, outgoing: Outgoing) -> UpstreamResponse:
        if not self.leases.is_held(call.log.request_id, call.attempt.number):
            raise ProviderFailed("timeout", "the gateway was held up", was_sent=False)
        call.attempt.status, sent_at = "sent", self.clock.monotonic()
        response = await open_attempt(
            self.upstream,
            deployment,
            outgoing,
            call.log.request_id,
            call.within(self.deadlines),
            self.clock,
            streamed=call.request.streamed,
        )
        call.attempt.http_status = response.status
        self.health.began_to_answer(deployment, sent_at)
        if response.tells(NOTHING_LEFT):
            self.health.told_limits(deployment, response.header)
        call.served.append((b"x-tollgate-provider", deployment.provider.type.encode()))
        call.served.append((b"x-tollgate-model", deployment.model_name.encode()))
        if deployment.is_simulated:
            call.served.append((b"x-tollgate-simulated", b"true"))
        return response

    async def _read(self, call: Running, deployment: Deployment, response: UpstreamResponse) -> None:
        """A whole answer: read it all, understand it; the client gets it in `_complete`."""
        async with response:
            body = await response.body(self.max_answer_bytes)
        created = int(call.log.started_at.timestamp())
        answer = call.spoken.decode_response(body, deployment.provider, created, deployment.model_name)
        attempt = call.attempt
        attempt.usage, attempt.raw_usage = answer.usage, answer.raw_usage
        attempt.finish_reason, attempt.service_tier = answer.finish_reason, answer.service_tier
        call.body, call.content_type = answer.body, answer.content_type
        call.told = call.client.said(answer.body)

    async def _relay(self, call: Running, deployment: Deployment, response: UpstreamResponse) -> None:
        """A stream: hand on each chunk as it comes; usage and `[DONE]` are kept for `_complete`."""
        created = int(call.log.started_at.timestamp())
        decoder = call.decoder = call.spoken.decode_stream(
            deployment.provider, call.request.wants_usage, created, deployment.model_name
        )
        async with response:
            async for piece in response:
                events = decoder.feed(piece)
                if call.has_started and decoder.failure is None:  # nearly every chunk of every stream
                    if events:
                        await call.client.write(events)
                else:
                    await self._hand_on(call, decoder, events)
                    response.shortcut = shortcut(decoder, call.client)
                if decoder.is_done:
                    response.leave(_AFTER_DONE_SECONDS)
                    break
        await self._hand_on(call, decoder, decoder.finish())
        if not call.has_started:
            await self._start_stream(call)

    async def _hand_on(self, call: Running, decoder: StreamDecoder, events: bytes) -> None:
        """Write what came. A stream that breaks before the client has seen any of it fails with a true status, and
        another deployment may answer in its place."""
        if decoder.failure is not None and not call.has_started:
            raise decoder.failure
        if events:
            if not call.has_started:
                await self._start_stream(call)
            await call.client.write(events)
        if decoder.failure is not None:
            raise decoder.failure

    async def _start_stream(self, call: Running) -> None:
        call.has_started = True
        call.log.ttft_ms = self._elapsed_ms(call)
        if call.client.status:  # it had to be kept waiting, when nobody knew who would answer
            await call.client.comment(call.served)
        else:
            await call.client.start_stream(call.answer_headers())

    # --- after the provider ----------------------------------------------------------------------------------------

    async def _complete(self, call: Running) -> None:
        """The answer is whole: settle, record, and only then let the client see its end."""
        attempt, client = call.attempt, call.client
        attempt.status = call.log.status = "completed"
        call.log.http_status = 200
        self._take_stream(call)
        attempt.usage = call.told_usage()
        charge(attempt)
        try:
            await self._close(call)
        except NowhereToStore:
            await self._end_with(call, refusal_answer(_UNSTORED, as_openai=self.openai_codes))
            return
        charged = plain(attempt.cost)
        if not call.request.streamed:
            call.served.append((b"x-tollgate-cost-usd", charged.encode()))
            await client.answer(200, call.told, call.answer_headers(), (b"content-type", call.content_type))
            return
        last = b"data: [DONE]\n\n"
        if call.request.wants_usage:
            last = usage_event(call.stream_identity(), call.shown_usage(), charged) + last
        await client.end(last)

    async def _give(self, call: Running, answer: Answer) -> None:
        """Record that the cache answered, and only then let the client see the answer."""
        call.log.status, call.log.http_status = "cached", answer.status
        call.log.ttft_ms = self._elapsed_ms(call) if call.request.streamed else None
        try:
            await self._close(call)
        except NowhereToStore:
            await self._end_with(call, refusal_answer(_UNSTORED, as_openai=self.openai_codes))
            return
        await answer.give_anew(call.client, [*call.headers, (b"x-tollgate-cache", b"hit")])

    def _stopped(self, call: Running, reason: str, message: str) -> None:
        """The client left, or must: it pays for what was produced until then."""
        attempt = call.attempt
        call.log.status = attempt.status = "cancelled"
        call.log.http_status = 499
        self._take_stream(call)
        if attempt.usage is None:
            attempt.usage = call.estimated_usage()
        charge(attempt)
        attempt.error = (reason, message)

    def _failed(self, call: Running, failure: ProviderFailed) -> None:
        """An attempt failed: what its provider reported is owed; what it may have cost unreported is the operator's."""
        attempt = call.attempt
        was_sent = attempt.status == "sent" and failure.was_sent
        attempt.status = "failed"
        attempt.http_status = failure.status or attempt.http_status
        attempt.error = (failure.row.reason, failure.message)
        self._take_stream(call)
        if attempt.usage is not None:
            charge(attempt)
        elif was_sent and failure.row.may_have_cost:
            charge_operator(attempt, call.estimated_usage())
        attempt.latency_ms = self._elapsed_ms(call)

    async def _report(self, call: Running, failure: ProviderFailed) -> None:
        """Every deployment failed: record it and tell the client."""
        assert call.deployment is not None
        name = call.deployment.provider.display_name
        answer = failure_answer(failure, name, as_openai=self.openai_codes)
        call.log.http_status = answer.status
        try:
            await self._close(call)
        except NowhereToStore:
            answer = refusal_answer(_UNSTORED, as_openai=self.openai_codes)
        await self._end_with(call, answer)

    async def _end_with(self, call: Running, answer: ErrorAnswer) -> None:
        if call.client.status:
            await call.client.fail(answer)
        else:
            call.client.extra_headers.extend(call.answer_headers())
            await call.client.refuse(answer)

    async def _close(self, call: Running) -> None:
        """Record the one event, then settle. Raises NowhereToStore; the holds then stay for the reaper,
        so that what was spent is counted all the same."""
        call.log.latency_ms = self._elapsed_ms(call)
        call.attempt.latency_ms = call.attempt.latency_ms or call.log.latency_ms
        await self._assure(call)
        call.log.epoch = epoch_of(call.attempts)
        await self.recorder.make_safe(*encode_usage(call.log, call.attempts, "final", self.source))
        call.client.standing = "final" if call.has_to_stand() else "open"
        await self._settle(call)

    async def _settle(self, call: Running) -> None:
        """Turn the last attempt's hold into what it cost; those before it were settled when they failed."""
        attempt = call.attempt
        await self.leases.settle(settlement_of(call.log.request_id, attempt, call.log.epoch or attempt.epoch))

    async def _assure(self, call: Running) -> None:
        """Put down in which epoch the last attempt is held now, and charge no more for it than its hold still covers."""
        attempt = call.attempt
        assured = await self.leases.assured(call.log.request_id, attempt.number)
        if assured is not None:
            attempt.epoch, covered_nano = assured
            if covered_nano < attempt.held_nano:
                cap(attempt, covered_nano)

    async def _close_unseen(self, call: Running) -> None:
        """`_close` for a client that is no longer there to be told that it failed."""
        with suppress(NowhereToStore):
            await self._close(call)

    def _take_stream(self, call: Running) -> None:
        """What a stream has told of itself so far."""
        decoder, attempt = call.decoder, call.attempt
        if decoder is None:
            return
        attempt.usage = decoder.usage()
        attempt.raw_usage = decoder.raw_usage
        attempt.finish_reason, attempt.service_tier = decoder.finish_reason, decoder.service_tier

    def _elapsed_ms(self, call: Running) -> int:
        return int((self.clock.monotonic() - call.began) * 1000)


def _refusal(call: Running, refused: Refused) -> Refusal:
    """What a call is told that may not run, with the limits that say so."""
    call.client.extra_headers.extend(refused_headers(refused))
    return refusal_of(refused)
