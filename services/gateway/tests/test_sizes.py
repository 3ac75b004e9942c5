"""How large requests are: what bounds their tokens, against what providers really counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.bounds import input_bound
from common.readings import reading_of
from gateway.api.chat import ChatRequest, parse_chat
from gateway.api.messages import parse_messages
from gateway.api.responses.requests import parse_responses
from gateway.api.sizes import TOOLS_TOKENS, texts_of
from gateway.limits.limiter import Refused
from gateway.limits.tokenizers import MOST_COUNTED_BYTES, Tokenizers
from gateway.providers.counting import said_in
from native_exchanges import native_exchanges
from recordings import Exchange, exchanges

REFUSED_HERE = ("background", "conversation", "prompt")


def parse_response(body: bytes) -> ChatRequest:
    """A request of the Responses API."""
    return parse_responses(body).request


ASKED = [
    *((parse_chat, one) for one in exchanges() if one.request.get("n") != 0),
    *((parse_messages, one) for one in native_exchanges("/v1/messages")),
    *((parse_response, one) for one in native_exchanges("/v1/responses") if not {*REFUSED_HERE} & one.request.keys()),
]
# Those by hand have counts by hand, too.
RECORDED = [(parse, one) for parse, one in ASKED if "-" not in one.name and one.request and one.status == 200]


def compact(request: dict[str, Any]) -> bytes:
    """A body in as few bytes as can be: the hardest for a bound by bytes."""
    return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()


def reported(exchange: Exchange) -> int | None:
    """The most input tokens that a provider reported, cached ones included; None: it reported none."""
    whole = [exchange.response] if isinstance(exchange.response, dict) else []
    lines = (exchange.stream or "").splitlines()
    told = [*whole, *(json.loads(line[5:]) for line in lines if line.startswith("data: {"))]
    holders = [one for event in told for one in (event, event.get("message"), event.get("response")) if one]
    found = [one["usage"] for one in holders if isinstance(one, dict) and one.get("usage")]
    inputs = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    counts = [usage.get("prompt_tokens") or sum(usage.get(name) or 0 for name in inputs) for usage in found]
    return max(counts, default=None)


async def test_no_provider_ever_counted_more_than_the_bound() -> None:
    """Of all exchanges that somebody has recorded (none is a pass: what was seen stands below)."""
    beyond = [
        exchange.name for parse, exchange in RECORDED if await is_beyond(parse(compact(exchange.request)), exchange)
    ]
    assert beyond == []


async def is_beyond(request: ChatRequest, exchange: Exchange) -> bool:
    """Whether more was counted than the bytes allow, or the tokens where they can be counted."""
    counted, reading = reported(exchange) or 0, reading_of(request.model)
    text = request.text_bytes + request.added_tokens
    if counted > input_bound(text, request.attachments, None, reading, is_open=request.is_open):
        return True
    saved = await TOKENIZERS.count_off(Refused("tokens"), reading, 10_000, texts_of(request.members))
    return not request.is_open and counted > input_bound(text - saved, request.attachments, None, reading)


TOKENIZERS = Tokenizers()


@pytest.mark.parametrize(
    ("size", "counted", "members"),
    [
        (395, 711, {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
        (346, 550, {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
        (827, 997, {"tools": [{"function": {"name": "f"}}]}),
        (233, 687, {"model": "x-ai/grok-4"}),
        (290, 8_174, {"tools": [{"type": "openrouter:web_search"}]}),
        (237, 14_100, {"model": "compound-beta"}),
    ],
)
def test_what_providers_counted_of_small_requests_is_within_the_bound(
    size: int, counted: int, members: dict[str, Any]
) -> None:
    """Requests of so many bytes, and what was counted of them."""
    body = {"model": "m", "messages": [{"role": "user", "content": "w"}], **members}
    body["messages"] = [{"role": "user", "content": "w" * (1 + size - len(compact(body)))}]
    request = parse_chat(compact(body))
    assert len(compact(body)) == size
    text = request.text_bytes + request.added_tokens
    reading = reading_of(request.model)
    assert counted <= input_bound(text, request.attachments, None, reading, is_open=request.is_open)


def chat(content: Any, **members: Any) -> ChatRequest:
    """A request of chat with one message."""
    return parse_chat(compact({"model": "m", "messages": [{"role": "user", "content": content}], **members}))


def part(kind: str, value: Any) -> list[dict[str, Any]]:
    """One part of a message."""
    return [{"type": kind, kind: value}]


def test_a_picture_is_no_text() -> None:
    url = "data:image/png;base64," + "A" * 100_000
    seen = chat(part("image_url", {"url": url}))
    assert (seen.attachments, seen.is_open, seen.added_tokens) == (1, False, 0)
    assert seen.text_bytes < 200


def test_sound_is_bounded_by_how_long_it_can_be() -> None:
    heard = chat(part("input_audio", {"data": "A" * 240_000, "format": "mp3"}))
    assert heard.text_bytes < 200
    assert 180 * 32 < heard.added_tokens < 12_000  # three minutes at the slowest MP3, at 32 tokens a second
    assert not heard.is_open
    assert chat(part("input_audio", {"data": "A" * 240_000, "format": "flac"})).is_open


@pytest.mark.parametrize("value", [{"file_id": "file-1"}, {"file_data": "data:application/pdf;base64,AAAA"}])
def test_a_document_has_as_many_pages_as_it_likes(value: dict[str, str]) -> None:
    assert chat(part("file", value)).is_open


FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    ("members", "is_open", "added"),
    [
        ({}, False, 0),
        ({"tools": []}, False, 0),
        ({"tools": [FUNCTION] * 3}, False, TOOLS_TOKENS),
        ({"tools": [FUNCTION, {"type": "openrouter:web_search"}]}, True, TOOLS_TOKENS),
        ({"tools": [{"type": 5}]}, True, TOOLS_TOKENS),
        ({"web_search_options": {"search_context_size": "low"}}, True, 0),
        ({"web_search_options": None, "plugins": []}, False, 0),
        ({"models": ["another/model"]}, True, 0),
    ],
)
def test_tools_that_a_provider_runs_may_read_anything(members: dict[str, Any], is_open: bool, added: int) -> None:
    request = chat("Hi", **members)
    assert (request.is_open, request.added_tokens) == (is_open, added)


def message(*blocks: dict[str, Any], **members: Any) -> ChatRequest:
    """A request of Anthropic's dialect with one turn."""
    body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": blocks}], **members}
    return parse_messages(compact(body))


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 9_000}}
FETCHED = {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}
PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}


@pytest.mark.parametrize(
    ("block", "pictures", "is_open"),
    [
        ({"type": "text", "text": "Hi"}, 0, False),
        (IMAGE, 1, False),
        (PLAIN, 0, False),
        (FETCHED, 0, True),
        ({"type": "tool_result", "tool_use_id": "t", "content": [IMAGE, IMAGE]}, 2, False),
        ({"type": "tool_result", "tool_use_id": "t", "content": [FETCHED]}, 0, True),
    ],
)
def test_blocks_are_measured_wherever_they_stand(block: dict[str, Any], pictures: int, is_open: bool) -> None:
    request = message(block)
    assert (request.attachments, request.is_open) == (pictures, is_open)
    assert (request.text_bytes > 9_000) == ("content" in block and pictures > 0)  # in a result they stay text, too


@pytest.mark.parametrize(
    ("tool", "is_open", "added"),
    [
        ({"name": "f", "input_schema": {}}, False, TOOLS_TOKENS),
        ({"type": "bash_20250124", "name": "bash"}, False, TOOLS_TOKENS + 2_048),
        ({"type": "web_search_20250305", "name": "web_search"}, True, TOOLS_TOKENS),
    ],
)
def test_tools_of_anthropic_s_are_told_from_the_client_s(tool: dict[str, Any], is_open: bool, added: int) -> None:
    request = message({"type": "text", "text": "Hi"}, tools=[tool])
    assert (request.is_open, request.added_tokens) == (is_open, added)


def test_what_is_said_is_measured_without_the_json_around_it() -> None:
    assert chat("river lantern").said_bytes == 13 + 16
    assert chat("中文").said_bytes == 6 + 16
    assert chat(part("text", "river")).said_bytes == 5 + 16
    assert message({"type": "text", "text": "river"}).said_bytes == 7 + 16


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"id": "x" * 90, "choices": [{"message": {"role": "assistant", "content": "river"}}]}, 5),
        ({"choices": [{"message": {"content": None, "tool_calls": [{"function": {"arguments": "{}"}}]}}]}, 2),
        ({"type": "message", "content": [{"type": "text", "text": "lantern"}]}, 7),
        ([], 0),
    ],
)
def test_an_answer_is_as_long_as_what_it_says(answer: Any, said: int) -> None:
    assert said_in(compact(answer)) == said
    assert said_in(b"") == 0
    assert said_in(b"no json") == 7


OPENAI = reading_of("gpt-4o")


async def counted(refused: Refused, *texts: str, size: int = 4_000, model: str = "gpt-4o") -> int:
    """What a count takes off."""
    return await TOKENIZERS.count_off(refused, reading_of(model), size, texts)


async def test_only_what_a_count_may_help_is_counted() -> None:
    words, before = "river lantern " * 300, TOKENIZERS.counted
    for refused in (Refused("budget"), Refused("budget", room_nano=-5), Refused("rate"), Refused("closed")):
        assert await counted(refused, words) == 0
    assert await counted(Refused("budget", room_nano=5), words, size=100) == 0
    assert await counted(Refused("budget", room_nano=5), words, model="claude-x") == 0
    assert TOKENIZERS.counted == before
    assert 3_000 < await counted(Refused("budget", room_nano=5), words) < 4_000
    assert TOKENIZERS.counted == before + 1


async def test_a_count_has_a_bound_and_never_adds_to_the_bytes() -> None:
    asked = Refused("tokens")
    assert await counted(asked, "a" * MOST_COUNTED_BYTES, "a" * 100) == await counted(asked, "a" * MOST_COUNTED_BYTES)
    for odd in ("\ud800", "😀", "<|endoftext|>", "\x00", ""):
        assert 0 <= await counted(asked, odd) <= len(odd.encode("utf-8", "surrogatepass"))


def test_texts_are_those_of_the_messages() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": part("text", "b")}],
    }
    assert list(texts_of(parse_chat(compact(body)).members)) == ["a", "b"]
    assert list(texts_of({})) == []
