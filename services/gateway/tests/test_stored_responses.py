"""Responses that are kept for a next turn: gone on from, looked at again, deleted, and nobody else's."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import msgspec
import openai
import pytest
from common.contracts.snapshots import KeySecret
from gateway.api.responses import ResponsesAsked, parse_responses
from gateway.cache.stored import MOST_OF_A_KEY, Place, StoredResponse, StoredResponses
from gateway.shapes import Refusal
from gateway.stored_responses import Conversations
from gateway_stack import Stack, key_snapshot
from test_native_calls import add
from test_responses import client as client  # a fixture
from test_responses import model_of

each_kind = pytest.mark.parametrize("provider", ["openai", "anthropic"])
OTHER = "another-key-67890"


async def other_client(stack: Stack, client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    """The client with another virtual key of the same user."""
    known_by = (KeySecret(sha256=hashlib.sha256(OTHER.encode()).hexdigest()),)
    await stack.put("keys", "key-2", key_snapshot(id="key-2", secrets=known_by))
    other = client.with_options(api_key=OTHER, max_retries=3)
    for _ in range(100):
        if (await stack.http.get("/v1/models", headers={"authorization": f"Bearer {OTHER}"})).status_code == 200:
            break
    return other


@each_kind
async def test_a_response_is_looked_at_listed_and_deleted(
    stack: Stack, client: openai.AsyncOpenAI, provider: str
) -> None:
    made = await client.responses.create(model=await model_of(stack, provider), input="Say hello!")
    seen = await client.responses.retrieve(made.id)
    assert (seen.id, seen.output_text, seen.usage) == (made.id, made.output_text, made.usage)
    listed = [item async for item in client.responses.input_items.list(made.id)]
    assert [item.type for item in listed] == ["message"]
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.cancel(made.id)
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.retrieve(made.id, stream=True)
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model="gpt-4", input="Hi", previous_response_id=made.id)


@each_kind
async def test_another_keys_response_is_as_none(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    model = await model_of(stack, provider)
    made = await client.responses.create(model=model, input="Say hello!")
    other = await other_client(stack, client)
    for asked in (
        other.responses.retrieve(made.id),
        other.responses.delete(made.id),
        other.responses.cancel(made.id),
        other.responses.create(model=model, input="Hi", previous_response_id=made.id),
        other.responses.create(model=model, input=[{"type": "item_reference", "id": made.output[0].id or ""}]),
    ):
        with pytest.raises(openai.NotFoundError):
            await asked
    assert (await client.responses.retrieve(made.id)).id == made.id


@each_kind
async def test_items_may_be_named_instead_of_sent(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    model = await model_of(stack, provider)
    made = await client.responses.create(model=model, input="Say hello!")
    asked: list[Any] = [
        {"role": "user", "content": "Say hello!"},
        {"type": "item_reference", "id": made.output[0].id},
        {"role": "user", "content": "Count to 3"},
    ]
    assert (await client.responses.create(model=model, input=asked)).output_text == "1, 2, 3"


async def test_a_conversation_that_is_kept_here_goes_on_with_any_provider(
    stack: Stack, client: openai.AsyncOpenAI
) -> None:
    native = await add(stack, "anthropic")
    first = await client.responses.create(model=native, input="My boat is called Petrel.")
    second = await client.responses.create(model="gpt-4", input="Count to 3", previous_response_id=first.id)
    assert second.output_text == "1, 2, 3"
    events = await stack.events(2)
    assert events[1].usage.total_tokens > events[0].usage.output_tokens  # the whole conversation was sent


async def test_a_conversation_that_its_provider_keeps_goes_on_there_alone(
    stack: Stack, client: openai.AsyncOpenAI
) -> None:
    first = await client.responses.create(model="gpt-4", input="My boat is called Petrel.")
    with pytest.raises(openai.BadRequestError, match="kept"):
        await client.responses.create(model=await add(stack, "anthropic"), input="Hi", previous_response_id=first.id)
    second = await client.responses.create(model="gpt-4", input="Count to 3", previous_response_id=first.id)
    assert (second.output_text, second.previous_response_id) == ("1, 2, 3", first.id)


@each_kind
async def test_what_shall_not_be_stored_is_not(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    made = await client.responses.create(model=await model_of(stack, provider), input="Hi", store=False)
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_a_stream_that_broke_off_is_not_stored(stack: Stack, client: openai.AsyncOpenAI) -> None:
    asked = "[[simulate tokens=30 cut_after=9]]"
    stream = await client.responses.create(model=await add(stack, "anthropic"), input=asked, stream=True)
    events: list[Any] = [event async for event in stream]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(events[0].response.id)


@each_kind
async def test_input_tokens_are_counted_for_nothing(stack: Stack, client: openai.AsyncOpenAI, provider: str) -> None:
    counted = await client.responses.input_tokens.count(model=await model_of(stack, provider), input="Say hello!")
    assert (counted.object, counted.input_tokens > 0) == ("response.input_tokens", True)
    assert await stack.events(0) == []


async def test_a_conversation_is_compacted_by_who_keeps_it(stack: Stack, client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(model="gpt-4", input="My boat is called Petrel.")
    short = await client.responses.compact(model="gpt-4", previous_response_id=first.id)
    assert (short.object, [item.type for item in short.output]) == ("response.compaction", ["compaction"])
    back: Any = [item.model_dump(exclude_none=True) for item in short.output]
    asked = [*back, {"role": "user", "content": "Count to 3"}]
    assert (await client.responses.create(model="gpt-4", input=asked)).output_text == "1, 2, 3"
    events = await stack.events(3)
    assert (events[1].operation, events[1].usage.total_tokens) == ("compaction", short.usage.total_tokens)
    with pytest.raises(openai.BadRequestError, match="compact"):
        await client.responses.compact(model=await add(stack, "anthropic"), input="Hi")
    assert await stack.held() == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/responses/resp_none", 404), ("GET", "/v1/responses/a/b", 404), ("PUT", "/v1/responses/x", 405),
     ("GET", "/v1/responses", 405), ("GET", "/v1/responses/%00", 404), ("GET", "/responses/resp_none", 404)],
)  # fmt: skip
async def test_unknown_responses_and_paths_are_refused(stack: Stack, method: str, path: str, status: int) -> None:
    answer = await stack.http.request(method, path, headers={"x-api-key": "test-key-12345"})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


class Entries:
    """A cache in memory with the methods that are asked of it."""

    is_up = True

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self._circle: list[str] = []

    async def keep(self, name: str, content: bytes, seconds: float) -> bool:
        self.kept[name] = content
        return len(content) <= 1 << 20

    async def find(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def drop(self, name: str) -> None:
        self.kept.pop(name, None)

    async def rotate(self, name: str, entry: str, most: int, seconds: float) -> str | None:
        assert most == MOST_OF_A_KEY
        self._circle.append(entry)
        return self._circle.pop(0) if len(self._circle) > 2 else None


async def test_the_oldest_goes_when_a_key_has_too_many() -> None:
    stored: Any = StoredResponses(Entries())  # type: ignore[arg-type]
    for number in range(3):
        assert await stored.keep(StoredResponse("key-1", f"resp_{number}", (f"msg_{number}",), None, b"{}"))
    assert await stored.find("key-1", "resp_0") is None
    assert await stored.find("key-1", "resp_2") is not None
    assert await stored.find("key-2", "resp_2") is None
    assert set(await stored.holding("key-1", ["msg_0", "msg_2", "msg_9", "*"], 1000)) == {"msg_2"}


@pytest.mark.parametrize("query", ["limit=%C2%B2", "limit=0", f"limit={'9' * 5000}", "order=sideways", "after=none"])
async def test_a_page_that_cannot_be_asked_for_is_refused(stack: Stack, client: openai.AsyncOpenAI, query: str) -> None:
    made = await client.responses.create(model=await add(stack, "anthropic"), input="Hi")
    asked = f"/v1/responses/{made.id}/input_items?{query}"
    answer = await stack.http.get(asked, headers={"x-api-key": "test-key-12345"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.partition("=")[0])


OWNER = "key-1"


def response(name: str, tokens: int | None = None, *, place: Place | None = None, text: str = "Hi") -> StoredResponse:
    """One with a single item, kept here or at a provider."""
    item = {"id": f"msg_{name}", "type": "message", "role": "assistant", "content": text}
    body = msgspec.json.encode({"id": f"resp_{name}", "output": [item]})
    if tokens is not None or place is not None:
        place = place or Place("gpt-4", "openai", "cred", tokens)
    return StoredResponse(OWNER, f"resp_{name}", (f"msg_{name}",), place, body if place is None else b"")


async def conversations(*kept: StoredResponse, max_bytes: int = 1 << 20) -> Conversations:
    """Those responses, and whoever goes on from them."""
    stored = StoredResponses(Entries())  # type: ignore[arg-type]
    for one in kept:
        assert await stored.keep(one)
    return Conversations(stored, max_bytes)


def naming(*names: str, previous: str | None = None) -> ResponsesAsked:
    """A request that names items."""
    items = [{"type": "item_reference", "id": f"msg_{name}"} for name in names]
    return parse_responses(msgspec.json.encode({"model": "m", "input": items, "previous_response_id": previous}))


async def test_all_that_its_provider_reads_again_is_held_for() -> None:
    several = await conversations(response("a", 50_000), response("b", 50_000))
    asked, place = await several.gone_on(naming("a", "b", "a", previous="resp_a"), OWNER)
    assert (place is not None, asked.request.added_tokens) == (True, 100_000)
    unknown = await conversations(response("c", place=Place("gpt-4", "openai", "cred", None)))
    asked, _ = await unknown.gone_on(naming("c"), OWNER)
    assert asked.request.is_open


async def test_what_is_kept_in_several_places_is_not_gone_on_from() -> None:
    here_and_there = await conversations(response("here"), response("there", 5))
    for asked in (
        naming("here", "there"),
        naming("here", previous="resp_there"),
        naming("there", previous="resp_here"),
    ):
        with pytest.raises(Refusal) as refused:
            await here_and_there.gone_on(asked, OWNER)
        assert (refused.value.reason, refused.value.param) == ("invalid_request", "input")


async def test_what_is_named_counts_against_the_size_of_a_body() -> None:
    large = await conversations(response("a", text="x" * 600), response("b", text="x" * 600), max_bytes=1_500)
    asked, _ = await large.gone_on(naming("a", "b"), OWNER)
    assert [msgspec.json.decode(item)["id"] for item in asked.items()] == ["msg_a", "msg_b"]
    for many in (("a", "b", "a"), ("a",) * 4096):
        with pytest.raises(Refusal) as refused:
            await large.gone_on(naming(*many), OWNER)
        assert refused.value.reason == "request_too_large"
    small = await conversations(*[response(str(at), text="x" * 600) for at in range(4)], max_bytes=2_000)
    with pytest.raises(Refusal):
        await small.gone_on(naming("0", "1", "2", "3"), OWNER)


async def test_an_item_is_what_its_own_response_holds() -> None:
    first = response("a", text="The first.")
    other = response("b")
    other = msgspec.structs.replace(other, items=(b'{"id":"msg_a","type":"message","content":"An impostor."}',))
    asked, _ = await (await conversations(first, other)).gone_on(naming("a", "b"), OWNER)
    assert [msgspec.json.decode(item)["content"] for item in asked.items()] == ["The first.", "Hi"]


async def test_an_answer_that_cannot_be_stored_is_an_answer_all_the_same() -> None:
    asked = parse_responses(b'{"model":"m","input":"Hi"}')
    for odd in ({"id": 7, "output": []}, {"id": "r", "output": [{"id": 7}]}, {"id": "r", "output": [], "store": "yes"}):
        spoken: Any = SimpleNamespace(body=msgspec.json.encode(odd), relays=True)
        call: Any = SimpleNamespace(
            deployment=None, log=SimpleNamespace(api_key_id=OWNER, request_id="1"), request=asked.request
        )
        entries = Entries()
        await Conversations(StoredResponses(entries), 1 << 20).keep(call, asked, spoken)  # type: ignore[arg-type]
        assert not entries.kept
