"""The doors of `/v1/responses`: making a response, going on from one, looking at it again, deleting it.

Who calls and whether they may is `doors`' to say, as for every call. A response of another virtual key is as none: 404.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.api.client import Client
from gateway.api.doors import Doors
from gateway.api.responses import ResponsesVoice, parse_responses
from gateway.asides import Asides
from gateway.cache.stored import StoredResponse
from gateway.charging import likely_tokens
from gateway.limits.redis import RedisAway
from gateway.mirrors.keys import ApiKey
from gateway.providers.errors import ProviderFailed
from gateway.shapes import Refusal, failure_answer
from gateway.stored_responses import BeforeEnd, Conversations, away, is_at, kept_at, not_found

_BODY_SECONDS = 30.0
_PATH = "/responses"
_NUMBER = re.compile(r"[0-9]{1,9}")
_MOST_LISTED = 100
_LISTED = 20


@dataclass(frozen=True, slots=True)
class ResponsesDoor:
    """Everything under `/v1/responses`."""

    doors: Doors
    conversations: Conversations
    asides: Asides
    openai_codes: bool

    async def make(self, client: Client) -> None:
        """`POST /v1/responses`"""
        doors = self.doors
        began = doors.clock.monotonic()
        key = doors.identify(client)
        asked = parse_responses(await client.body(doors.max_body_bytes, _BODY_SECONDS))
        shown = asked
        asked, place = await self.conversations.gone_on(asked, key.id)
        voice = ResponsesVoice(shown, client.request_id, self._now, can_keep=self.conversations.stored.is_up)
        client.speak(voice)
        call = await doors.begin(client, key, asked.request, began)
        if place is not None:
            call.plan = kept_at(call.plan, place)
        keep = partial(self.conversations.keep, call, asked, voice)
        client.pass_through(partial(BeforeEnd, work=keep))
        await doors.run(call, "/v1/responses")

    async def compact(self, client: Client) -> None:
        """`POST /v1/responses/compact`: by a provider that has this API."""
        doors = self.doors
        began = doors.clock.monotonic()
        key = doors.identify(client)
        asked = parse_responses(await client.body(doors.max_body_bytes, _BODY_SECONDS), is_counted_only=True)
        asked, place = await self.conversations.gone_on(asked, key.id)
        call = await doors.begin(client, key, asked.to_compact().request, began)
        if place is not None:
            call.plan = kept_at(call.plan, place)
        await doors.run(call, "/v1/responses/compact")

    async def count_tokens(self, client: Client) -> None:
        """`POST /v1/responses/input_tokens`: the provider's own count where it speaks this API, else an estimate."""
        doors = self.doors
        began = doors.clock.monotonic()
        key = doors.identify(client)
        body = await client.body(doors.max_body_bytes, _BODY_SECONDS)
        asked, place = await self.conversations.gone_on(parse_responses(body, is_counted_only=True), key.id)
        call = await doors.begin(client, key, asked.request, began)
        if place is not None:
            call.plan = kept_at(call.plan, place)
        counted = await self.asides.count_tokens(call, "/input_tokens")
        estimate = b'{"object":"response.input_tokens","input_tokens":%d}' % likely_tokens(asked.request.text_bytes)
        await client.answer(200, counted or estimate)

    async def kept(self, method: str, rest: str, client: Client) -> None:
        """`GET` and `DELETE /v1/responses/{id}`, `GET …/input_items`, `POST …/cancel`. Raises Refusal."""
        key = self.doors.identify(client)
        response_id, _, what = rest.partition("/")
        asked = (method.replace("HEAD", "GET"), what)
        if asked not in _ASKED:
            raise Refusal(
                "unknown_url" if what not in _WHATS else "method_not_allowed", f"{method} {client.path[:200]}"
            )
        try:
            stored = await self.conversations.stored.find(key.id, response_id)
            if stored is None:
                raise not_found(response_id)
            if what == "cancel":
                raise Refusal("invalid_request", "only work in the background can be cancelled", param="response_id")
            if asked == ("GET", "") and _wants_stream(client.query):
                raise Refusal("invalid_request", "only work in the background can be streamed again", param="stream")
            if stored.place is not None:
                await self._ask_provider(asked[0], what, client, key, stored)
            elif asked[0] == "DELETE":
                await self.conversations.stored.drop(stored)
                await client.answer(200, _deleted(stored.id))
            else:
                await client.answer(200, _listed(client.query, stored) if what else stored.body)
        except RedisAway:
            raise away() from None

    async def _ask_provider(self, method: str, what: str, client: Client, key: ApiKey, stored: StoredResponse) -> None:
        """Hand on what the provider says that keeps a response."""
        place = stored.place
        assert place is not None
        plan = await self.doors.plan(client, key, place.name)
        found = [one for one in plan.deployments if is_at(one.provider_id, one.credential.id, place)] if plan else []
        if not found:
            raise not_found(stored.id)
        query = f"?{client.query.decode('latin-1')}" if client.query else ""
        path = "/".join(part for part in (_PATH, stored.id, what) if part) + query
        try:
            told = await self.asides.ask(found[0], method.encode(), path, client.request_id)
        except ProviderFailed as failed:
            await client.refuse(failure_answer(failed, found[0].provider.display_name, as_openai=self.openai_codes))
            return
        if method == "DELETE":
            await self.conversations.stored.drop(stored)
        await client.answer(200, told)

    def _now(self) -> int:
        return int(self.doors.clock.now().timestamp())


_WHATS = frozenset({"", "input_items", "cancel"})
_ASKED = frozenset({("GET", ""), ("DELETE", ""), ("GET", "input_items"), ("POST", "cancel")})


def _wants_stream(query: bytes) -> bool:
    return dict(parse_qsl(query.decode("latin-1"))).get("stream", "false").lower() not in ("false", "0")


def _deleted(response_id: str) -> bytes:
    return msgspec.json.encode({"id": response_id, "object": "response", "deleted": True})


def _listed(query: bytes, stored: StoredResponse) -> bytes:
    """A page of the items that a response was made from, the latest first. Raises Refusal."""
    asked = dict(parse_qsl(query.decode("latin-1")))
    items: list[Any] = [msgspec.json.decode(item) for item in stored.items]
    order, limit = asked.get("order", "desc"), asked.get("limit", str(_LISTED))
    if order not in ("asc", "desc"):
        raise Refusal("invalid_request", "order is asc or desc", param="order")
    if order == "desc":
        items.reverse()
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= _MOST_LISTED:
        raise Refusal("invalid_request", f"limit is 1 to {_MOST_LISTED}", param="limit")
    after = asked.get("after")
    if after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise Refusal("invalid_request", "there is no such item", param="after")
        items = items[places[0] + 1 :]
    page = items[: int(limit)]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"object": "list", "data": page, **ends, "has_more": len(items) > len(page)})
