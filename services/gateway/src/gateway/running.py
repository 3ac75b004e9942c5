"""One call on its way: what was asked, what is written down of it, and what its current attempt has brought.

Holds the call's state and what can be read off it; what happens to it, and when, is `pipeline`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import msgspec
from common.bounds import FREE, bound, default_output, input_bound
from common.pricing import Price
from common.providers.registry import Wire as WireName
from common.usage import NOTHING, Usage

from gateway.api import messages, responses
from gateway.api.chat import ChatRequest
from gateway.api.client import Client
from gateway.charging import likely_tokens
from gateway.limits.limiter import Claim
from gateway.limits.terms import Terms
from gateway.metering import AttemptLog, CallLog, earlier_of
from gateway.providers.counting import said_in
from gateway.providers.errors import untranslatable
from gateway.providers.languages import RELAYED, WIRES
from gateway.providers.wire import Identity, Members, Outgoing, StreamDecoder, Wire
from gateway.routing.plan import Deployment, Plan
from gateway.shapes import Header
from gateway.upstream.client import Deadlines

_AS_CHAT: Mapping[WireName, Callable[[Members], tuple[Members, tuple[str, ...]]]] = MappingProxyType(
    {"anthropic": messages.as_chat, "responses": responses.as_chat}
)
"""How requests in other words than chat's are said in chat's."""

_LIKELY_PICTURE_TOKENS = 765
"""Of a picture of 1,024 × 1,024 by OpenAI's count; others are near it."""


@dataclass(slots=True)
class Running:
    """One call on its way: what was asked, what is written down of it, and what its current attempt has brought."""

    request: ChatRequest
    client: Client
    terms: Terms
    plan: Plan
    log: CallLog
    attempts: list[AttemptLog]
    headers: list[Header]
    began: float
    body: bytes = b""
    told: bytes = b""
    """The same in the client's dialect."""
    content_type: bytes = b"application/json"
    wire: Wire | None = None
    deployment: Deployment | None = None
    decoder: StreamDecoder | None = None
    has_started: bool = False
    spoken_at: float = 0.0
    """When something was last said to keep a client waiting, by the monotonic clock."""
    counted_off: int = 0
    """By how much fewer its tokens are than its bytes, at the present deployment, where they were counted."""
    admitted_ms: int = 0
    """When its first attempt was admitted, by Redis' clock: whose day and month the whole call counts in."""
    served: list[Header] = field(default_factory=list)

    @property
    def attempt(self) -> AttemptLog:
        """The attempt that runs, or ran last."""
        return self.attempts[-1]

    @property
    def spoken(self) -> Wire:
        """The wire that the attempt is spoken in."""
        assert self.wire is not None
        return self.wire

    def within(self, usual: Deadlines) -> Deadlines:
        """How long this call's attempts may take: as its alias says, else as usual."""
        timeouts = self.plan.timeouts
        return replace(usual, **timeouts) if timeouts else usual

    def delivered(self) -> int:
        """Output tokens that the client has got so far."""
        return self.decoder.delivered_tokens() if self.decoder is not None else 0

    def spoken_to(self, deployment: Deployment) -> tuple[Wire, Members, tuple[str, ...]]:
        """The wire that a deployment is spoken to in, the request in the words that it translates from, and what is lost
        before it. Who speaks the provider's own wire is relayed. Raises ProviderFailed for what cannot be said."""
        request = self.request
        if request.operation is not None:
            return request.operation.wire(request.members, deployment.provider), request.members, ()
        if request.dialect == "openai":
            return WIRES[deployment.wire], request.members, request.lost
        relay = RELAYED[request.dialect]
        is_relayed = relay.leads_to(deployment.provider)
        self.client.is_relayed(is_so=is_relayed)
        if is_relayed:
            return relay.wire, request.members, ()
        return WIRES[deployment.wire], *_AS_CHAT[request.dialect](request.members)

    def outgoing(self, deployment: Deployment, output_tokens: int) -> Outgoing:
        """The request in a provider's language. Raises ProviderFailed when it cannot be said in it, or not all of it and
        the client wants all or nothing."""
        request, provider = self.request, deployment.provider
        self.wire, members, lost = self.spoken_to(deployment)
        outgoing = self.wire.encode_request(members, provider, deployment.model_name, output_tokens, request.streamed)
        dropped = self.log.dropped_params = (*lost, *outgoing.dropped)
        if dropped:
            if not request.may_drop:
                raise untranslatable(f"{provider.display_name} does not know {dropped[0]}", dropped[0])
            self.served.append((b"x-tollgate-dropped-params", ", ".join(dropped).encode()))
        if request.headers and provider.wire == request.dialect:
            return outgoing._replace(headers=outgoing.headers + request.headers)
        return outgoing

    def has_to_stand(self) -> bool:
        """Whether the call has ended so that its client must not have it done again: complete, or not for nothing."""
        return self.log.status in ("completed", "cached") or any(attempt.cost for attempt in self.attempts)

    def claim(self, deployment: Deployment, price: Price) -> Claim:
        """What the next attempt asks to be admitted with: the most that it can use and cost at this deployment."""
        request, model, minute_tokens = self.request, deployment.model, self.terms.token_limit
        context = model.context_length and model.context_length * request.inputs
        text = request.text_bytes + request.added_tokens - self.counted_off
        tokens = input_bound(text, request.attachments, context, model.reading, is_open=request.is_open)
        most = request.output_tokens
        if most is None:
            most = default_output(
                request.text_bytes,
                model.max_output_tokens,
                model.context_length,
                (minute_tokens - tokens) // request.choices if minute_tokens else None,
            )
        elif request.operation is not None:  # a bound of ours that was not the client's wish
            most = min(most, model.max_output_tokens or most)
        worst, is_owed = bound(price, tokens, most, request.choices, request.units), not deployment.credential.is_own
        is_free = self.log.cache == "hit"
        if is_free:
            tokens, most, worst = 0, 0, FREE
        return Claim(
            terms=self.terms,
            place=(deployment.provider.type, model.name),
            request_id=self.log.request_id,
            attempt=len(self.attempts) + 1,
            input_nano=worst.input_nano if is_owed else 0,
            nano_per_million_output=worst.nano_per_million_output if is_owed else 0,
            output_tokens=most,
            may_cut_output=request.output_tokens is None and not is_free,
            input_tokens=tokens,
            call=self.for_the_reaper(deployment),
            choices=request.choices,
            is_owed=is_owed,
            began_ms=self.admitted_ms,
        )

    def answer_headers(self) -> list[Header]:
        """What the limits and the deployment that answers add to the answer."""
        return [*self.headers, *self.served]

    def estimated_usage(self) -> Usage:
        """What the call used as far as can be seen from here."""
        if self.request.likely is not None:
            return self.request.likely
        output = self.delivered() if self.request.streamed else likely_tokens(said_in(self.body))
        return Usage(input_tokens=self.likely_input(), output_tokens=output, estimated=True)

    def likely_input(self) -> int:
        """Input tokens, where nobody has counted them: of what is said, not of the JSON around it; and its pictures."""
        request = self.request
        said = request.text_bytes if request.said_bytes is None else request.said_bytes
        return likely_tokens(said) + request.attachments * _LIKELY_PICTURE_TOKENS

    def told_usage(self) -> Usage:
        """What the provider reported, else an estimate. Who reports no tokens is not paid by them; where the price knows
        nothing else, since the model has none of its own, they are estimated."""
        used = self.attempt.usage
        if used is None:
            return self.estimated_usage()
        if self.request.likely is None or used.total_tokens or not self.attempt.price.is_fallback:
            return used
        return msgspec.structs.replace(self.request.likely, units=used.units)

    def stream_identity(self) -> Identity:
        """Id, creation and model that all chunks of a stream carry."""
        return self.decoder.identity if self.decoder is not None else (None, None, None)

    def shown_usage(self) -> dict[str, Any]:
        """The usage as OpenAI's clients know it: the provider's own report, where it is of that shape."""
        attempt = self.attempt
        if attempt.raw_usage is not None and self.wire is not None and self.wire.reports_as_openai:
            return attempt.raw_usage
        return (attempt.usage or NOTHING).as_openai()

    def for_the_reaper(self, deployment: Deployment) -> bytes:
        """What is needed to tell of this call, should this process not live to do it."""
        log = self.log
        return msgspec.json.encode(
            {
                "trace_id": log.trace_id,
                "api_key_id": log.api_key_id,
                "user_id": log.user_id,
                "team_id": log.team_id,
                "tier": log.tier,
                "operation": log.operation,
                "requested_model": log.requested_model,
                "alias": log.alias,
                "streamed": log.streamed,
                "started_at": log.started_at,
                "simulated": deployment.is_simulated,
                "tags": log.tags,
                "provider_type": deployment.provider.type,
                "provider_id": deployment.provider_id,
                "model_id": deployment.model.id,
                "model": deployment.model.name,
                "credential_id": deployment.credential.id,
                "is_own": deployment.credential.is_own,
                "input_tokens": self.likely_input(),
                "earlier": [earlier_of(attempt) for attempt in self.attempts],
            }
        )
