"""What is kept of a call of `/v1/responses` for the next turn, and how that turn goes on from it.

A conversation whose provider stores it goes on there, by the provider's own ids, and nowhere else. Every other is kept
here whole, so that the next turn may be answered by any provider; it is sent all of it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from common.ids import uuid7

from gateway.api.client import Send
from gateway.api.responses import ResponsesAsked, ResponsesVoice
from gateway.cache.stored import Place, StoredResponse, StoredResponses, TooMuchStored
from gateway.limits.redis import RedisAway
from gateway.providers.counting import count_of
from gateway.routing.plan import Plan
from gateway.running import Running
from gateway.shapes import Refusal

log = structlog.get_logger()


class _Response(msgspec.Struct):
    id: str
    output: list[msgspec.Raw]
    store: bool | None = None
    usage: dict[str, Any] | None = None


class _Named(msgspec.Struct):
    id: str | None = None


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_item = msgspec.json.Decoder(_Named).decode


@dataclass(frozen=True, slots=True)
class Conversations:
    """Goes on from stored responses, and stores them."""

    stored: StoredResponses
    max_bytes: int
    """Of a request, with all that it names written out."""

    async def gone_on(self, asked: ResponsesAsked, owner: str) -> tuple[ResponsesAsked, Place | None]:
        """The request with what it goes on from, and the only place where it can be answered, if there is one. Raises
        Refusal for what is not stored, or is another's."""
        if asked.previous is None and not asked.references:
            return asked, None
        try:
            previous = await self.stored.find(owner, asked.previous) if asked.previous is not None else None
            held = await self.stored.holding(owner, asked.references, self.max_bytes)
        except RedisAway:
            raise away() from None
        except TooMuchStored:
            raise self._too_large() from None
        if asked.previous is not None and previous is None:
            raise not_found(asked.previous, "previous_response_id")
        if missing := [name for name in asked.references if name not in held]:
            raise not_found(missing[0], "input")
        named = {one.id: one for one in (previous, *held.values()) if one is not None}
        if any(one.place is not None for one in named.values()):
            place = _only_place(named.values())
            return asked.after(_tokens_of(named.values())), place
        history = [*previous.items, *_output(previous.body)] if previous is not None else []
        items = [*history, *_resolved(asked.items(), held)]
        if sum(map(len, items)) > self.max_bytes:
            raise self._too_large()
        return asked.with_items(items), None

    def _too_large(self) -> Refusal:
        return Refusal("request_too_large", str(self.max_bytes))

    async def keep(self, call: Running, asked: ResponsesAsked, voice: ResponsesVoice) -> None:
        """Store what became of a call, where that was asked for and the call was answered. What cannot be stored is
        answered all the same."""
        if voice.body is None or not asked.is_stored:
            return
        try:
            reason = None if await self.stored.keep(_stored(call, asked, voice.body, voice.relays)) else "too large"
        except RedisAway:
            reason = "cache away"
        except ValueError:
            reason = "not as the API describes it"
        if reason is not None:
            log.warning("response_not_stored", request_id=call.log.request_id, reason=reason)


class BeforeEnd:
    """Stands between a client and the server: `work` is awaited before the last part is handed on."""

    def __init__(self, send: Send, work: Callable[[], Awaitable[None]]) -> None:
        self._send = send
        self._work = work

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Hand on one message."""
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await self._work()
        await self._send(message)


def kept_at(plan: Plan, place: Place) -> Plan:
    """The plan with no deployment but those where a conversation is kept. Raises Refusal when there is none."""
    found = tuple(one for one in plan.deployments if is_at(one.provider_id, one.credential.id, place))
    if not found:
        message = f"the conversation is kept by the provider of {place.name}, which does not serve this model with it"
        raise Refusal("invalid_request", message, param="previous_response_id")
    return plan.with_order(found)


def is_at(provider_id: str, credential_id: str, place: Place) -> bool:
    """Whether an instance with a credential is a place."""
    return (provider_id, credential_id) == (place.provider_id, place.credential_id)


def not_found(response_id: str, param: str | None = None) -> Refusal:
    """What is said of a response that is not stored, or is another's."""
    return Refusal("response_not_found", response_id[:256], param=param)


def away() -> Refusal:
    """What is said while nothing that is stored can be had."""
    return Refusal("service_unavailable", "stored responses cannot be read right now", retry_after_ms=1000)


def with_ids(items: list[msgspec.Raw]) -> list[bytes]:
    """Input items as they are listed: each with an id, and a text as content in parts."""
    return [_with_id(bytes(item)) for item in items]


def _stored(call: Running, asked: ResponsesAsked, body: bytes, is_relayed: bool) -> StoredResponse:
    told, deployment = _decode_response(body), call.deployment
    owner = call.log.api_key_id
    item_ids = tuple(found for item in told.output if (found := _decode_item(item).id))
    if is_relayed and told.store and deployment is not None:
        place = Place(
            name=call.request.model,
            provider_id=deployment.provider_id,
            credential_id=deployment.credential.id,
            tokens=count_of((told.usage or {}).get("total_tokens")),
        )
        return StoredResponse(owner, told.id, item_ids, place)
    items = with_ids(asked.items())
    return StoredResponse(owner, told.id, item_ids, None, body, tuple(items))


def _only_place(named: Iterable[StoredResponse]) -> Place:
    """The one place where a provider keeps all that is named. Raises Refusal when there are two, or some of it is here."""
    places = {(one.place.provider_id, one.place.credential_id) if one.place else None: one.place for one in named}
    first = next(iter(places.values()))
    if len(places) > 1 or first is None:
        raise Refusal("invalid_request", "what is named is kept in several places: send it instead", param="input")
    return first


def _tokens_of(named: Iterable[StoredResponse]) -> int | None:
    """No more tokens than these conversations have together; None when one of them did not say."""
    counts = [one.place.tokens for one in named if one.place is not None]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _output(body: bytes) -> list[bytes]:
    return [bytes(item) for item in _decode_response(body).output]


def _resolved(items: Iterable[msgspec.Raw], held: Mapping[str, StoredResponse]) -> Iterator[bytes]:
    """The items themselves, where they were only named. What a response holds is read once, however often it is named."""
    of_response = {one.id: {_decode_item(item).id: item for item in _kept_in(one)} for one in held.values()}
    for item in items:
        name = _decode_item(item).id
        stored = held.get(name or "")
        yield bytes(item) if stored is None else of_response[stored.id].get(name, bytes(item))


def _kept_in(stored: StoredResponse) -> list[bytes]:
    """All items of a response, the latest first: of two of one name the earlier counts."""
    return [*reversed(_output(stored.body)), *reversed(stored.items)]


def _with_id(item: bytes) -> bytes:
    told = msgspec.json.decode(item)
    kind = told.get("type") or "message"
    content = told.get("content")
    if kind == "message" and isinstance(content, str):
        part = "output_text" if told.get("role") == "assistant" else "input_text"
        told["content"] = [{"type": part, "text": content, **({"annotations": []} if part == "output_text" else {})}]
    prefix = _PREFIXES.get(kind, "item")
    named = {"id": told.get("id") or f"{prefix}_{uuid7().replace('-', '')}", "type": kind, "status": "completed"}
    return msgspec.json.encode({**named, **told})


_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
