"""The inference front doors: who calls, what they ask for, whether they may; then the pipeline takes over."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog
from common.clock import Clock
from common.ids import derived_id
from common.telemetry.traces import trace_id_of

from gateway.api.chat import ChatRequest, parse_chat
from gateway.api.client import Client, bearer_of
from gateway.api.messages import parse_messages
from gateway.api.models import list_messages_models, list_models, may_use, one_model
from gateway.api.operations import OPERATIONS, voice_of
from gateway.api.responses import parse_chat_from_responses
from gateway.api.voices import MessagesVoice
from gateway.asides import Asides
from gateway.cached_calls import CachedCalls
from gateway.callog import CallLogWriter
from gateway.charging import likely_tokens
from gateway.counts import Counts
from gateway.limits.terms import TermsBook
from gateway.metering import CallLog, Recorder, encode_rejected
from gateway.mirrors.keys import ApiKey, Keys
from gateway.patience import Patience
from gateway.routing.choice import ordered
from gateway.routing.health import Health
from gateway.routing.personal import CREDENTIAL_HEADER, PersonalPlans
from gateway.routing.plan import Plan, Planner
from gateway.routing.tiers import within
from gateway.running import Running
from gateway.shapes import Refusal
from gateway.upstream.client import header_block

log = structlog.get_logger()

_BODY_SECONDS = 30.0
_REJECTIONS_A_SECOND = 100
_MAX_TAGS = 16
_DIALECT_HEADERS = (b"anthropic-version", b"anthropic-beta")
_MAX_TAG = 64
SESSION_HEADER = b"x-tollgate-session"
"""Calls that name the same here go to the same deployment, where an alias's strategy is `sticky`."""


@dataclass(slots=True)
class Plans:
    """Compiled plans by name: bounded in number and age, and all forgotten when the catalog or a credential changes."""

    planner: Planner
    size: int
    ttl_seconds: float
    _kept: OrderedDict[str, tuple[Plan, float]] = field(default_factory=OrderedDict)
    _generation: tuple[int, int] = (-1, -1)

    def plan(self, name: str) -> Plan | None:
        """The plan for a name."""
        if self.planner.generation != self._generation:
            self._kept.clear()
            self._generation = self.planner.generation
        now = time.monotonic()
        kept = self._kept.get(name)
        if kept is not None and now < kept[1]:
            self._kept.move_to_end(name)
            return kept[0]
        plan = self.planner.plan(name)
        if plan is not None:
            self._kept[name] = (plan, now + self.ttl_seconds)
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)
        return plan


@dataclass(slots=True)
class Doors:
    """Everything under `/v1`."""

    keys: Keys
    terms: TermsBook
    plans: Plans
    personal: PersonalPlans
    calls: CachedCalls
    asides: Asides
    recorder: Recorder
    counts: Counts
    writer: CallLogWriter
    clock: Clock
    source: str
    health: Health
    patience: Patience
    max_body_bytes: int
    _second: int = 0
    _rejections: int = 0

    async def chat(self, client: Client) -> None:
        """`POST /v1/chat/completions`"""
        began = self.clock.monotonic()
        key = self.identify(client)
        request = _chat_in(await client.body(self.max_body_bytes, _BODY_SECONDS))
        await self.run(await self.begin(client, key, request, began), "/v1/chat/completions")

    async def messages(self, client: Client) -> None:
        """`POST /v1/messages`"""
        began = self.clock.monotonic()
        key = self.identify(client)
        client.speak(MessagesVoice())
        body = await client.body(self.max_body_bytes, _BODY_SECONDS)
        request = parse_messages(body, _of_the_dialect(client.headers))
        await self.run(await self.begin(client, key, request, began), "/v1/messages")

    async def operate(self, client: Client, path: str) -> None:
        """`POST` of one of `OPERATIONS`, priced and limited like any call."""
        began = self.clock.monotonic()
        key = self.identify(client)
        request = OPERATIONS[path](await client.body(self.max_body_bytes, _BODY_SECONDS), client.headers)
        if request.streamed:
            client.speak(voice_of(request))
        await self.run(await self.begin(client, key, request, began), f"/v1{path}")

    async def count_tokens(self, client: Client) -> None:
        """`POST /v1/messages/count_tokens`: the provider's own count where it speaks this dialect, else an estimate.
        Costs nothing, so nothing is held and nothing recorded."""
        began = self.clock.monotonic()
        key = self.identify(client)
        body = await client.body(self.max_body_bytes, _BODY_SECONDS)
        request = parse_messages(body, _of_the_dialect(client.headers), is_counted_only=True)
        call = await self.begin(client, key, request, began)
        counted = await self.asides.count_tokens(call, "/count_tokens")
        await client.answer(200, counted or b'{"input_tokens":%d}' % likely_tokens(request.text_bytes))

    async def models(self, client: Client, name: str) -> None:
        """`GET /v1/models` and `GET /v1/models/{id}`"""
        key = self.identify(client)
        if not name:
            listing = list_messages_models if b"anthropic-version" in client.headers else list_models
            await client.answer(200, listing(self.plans.planner, key))
            return
        found = one_model(self.plans.planner, key, name)
        if found is None:
            raise Refusal("model_not_found", name[:256], param="model", model=name)
        await client.answer(200, found)

    def identify(self, client: Client) -> ApiKey:
        """The key that the client shows. Raises Refusal."""
        secret = _shown_secret(client.headers)
        if secret is None:
            raise Refusal("missing_api_key")
        key = self.keys.find(secret, self.clock.now())
        if key is None:
            raise Refusal("invalid_api_key")
        return key

    def refused(self, client: Client, refusal: Refusal) -> None:
        """Tell of a refusal, at most so many a second: an attack must not become a flood of events."""
        self.counts.request("refused", refusal.row.status, 0)
        second = int(self.clock.monotonic())
        if second != self._second:
            self._second, self._rejections = second, 0
        self._rejections += 1
        if self._rejections > _REJECTIONS_A_SECOND:
            return
        secret = _shown_secret(client.headers)
        key = self.keys.find(secret, self.clock.now()) if secret else None
        event_id = derived_id(client.request_id, "rejected")
        subject, event = encode_rejected(
            event_id,
            client.request_id,
            key.id if key else None,
            refusal.reason,
            refusal.row.status,
            refusal.model,
            self.clock.now(),
            self.source,
        )
        self.recorder.offer(event_id, subject, event)

    async def begin(self, client: Client, key: ApiKey, request: ChatRequest, began: float) -> Running:
        """A call that its key may make, with the deployments that may answer it. Raises Refusal."""
        if not may_use(key, request.model):
            raise Refusal(
                "model_not_allowed", f"the key does not allow {request.model}", param="model", model=request.model
            )
        plan = await self.plan(client, key, request.model)
        if plan is None:
            raise Refusal("model_not_found", request.model, param="model", model=request.model)
        if not plan.deployments:
            raise Refusal("provider_not_configured", plan.missing[0].display_name, model=request.model)
        plan = within(plan, self.plans.planner.catalog.tiers, key.tier)
        if plan is None:
            raise Refusal(
                "model_not_allowed",
                f"the {key.tier} tier does not allow {request.model}",
                param="model",
                model=request.model,
            )
        self.health.call_began()
        plan = ordered(plan, self.health, self.clock.now(), _conversation(client, request), random.random)
        record = CallLog(
            request_id=client.request_id,
            trace_id=trace_id_of(client.headers.get(b"traceparent", b"").decode("latin-1")),
            api_key_id=key.id,
            user_id=key.user_id,
            team_id=key.team_id,
            tier=key.tier,
            operation=request.operation.name if request.operation is not None else "chat",
            requested_model=request.model,
            alias=plan.alias,
            streamed=request.streamed,
            started_at=self.clock.now(),
            simulated=False,
            tags=_tags(client.headers.get(b"x-tollgate-tags")),
        )
        return Running(request, client, self.terms.of(key), plan, record, [], [], began)

    async def plan(self, client: Client, key: ApiKey, name: str) -> Plan | None:
        """Where a name leads for a caller; None when there is no such model. Raises Refusal."""
        chosen = client.headers.get(CREDENTIAL_HEADER)
        if chosen is not None or self.personal.concerns(key.user_id):
            named = chosen.decode("latin-1") if chosen is not None else None
            return await self.personal.plan(key.user_id, name, named)
        return self.plans.plan(name)

    async def run(self, call: Running, route: str) -> None:
        """Answer a call."""
        if call.request.streamed:
            self.patience.begin(call)
        try:
            await self.calls.run(call)
        finally:
            self.patience.end(call)
            self._ended(call, route)

    def _ended(self, call: Running, route: str) -> None:
        milliseconds = int((self.clock.monotonic() - call.began) * 1000)
        status = 499 if call.client.is_gone else call.client.status
        if call.attempts:
            self.counts.request(route, status, milliseconds)
            self.writer.write(call.log, call.attempt, status, milliseconds)


def _shown_secret(headers: dict[bytes, bytes]) -> bytes | None:
    """The virtual key that a request carries, by any of the names that clients use."""
    named = headers.get(b"x-api-key") or headers.get(b"api-key") or headers.get(b"x-goog-api-key")
    return bearer_of(headers) or named or None


def _chat_in(body: bytes) -> ChatRequest:
    """A chat request; some clients send the body of a response's instead. Raises Refusal."""
    try:
        return parse_chat(body)
    except Refusal as refusal:
        found = parse_chat_from_responses(body) if refusal.param == "messages" else None
        if found is None:
            raise
        return found


def _of_the_dialect(headers: dict[bytes, bytes]) -> bytes:
    """The header lines by which a client of Anthropic's API says what it speaks. Raises Refusal."""
    try:
        return header_block([(name, headers[name]) for name in _DIALECT_HEADERS if name in headers])
    except ValueError as error:
        raise Refusal("invalid_request", str(error)) from None


def _conversation(client: Client, request: ChatRequest) -> bytes | None:
    """What a call's conversation is known by, for deployments that keep it warm."""
    named = request.members.get("prompt_cache_key")
    return client.headers.get(SESSION_HEADER) or (bytes(named) if named is not None else None)


def _tags(header: bytes | None) -> dict[str, str]:
    """`x-tollgate-tags: team=search,env=prod` → labels of the call's event; what is malformed is left out."""
    if not header:
        return {}
    pairs = (part.partition("=") for part in header.decode("latin-1").split(",")[:_MAX_TAGS])
    return {
        name.strip()[:_MAX_TAG]: value.strip()[:_MAX_TAG] for name, equals, value in pairs if equals and name.strip()
    }
