"""Feeds from strangers: what is read of good ones, and what becomes of broken, huge, slow, redirecting and hostile ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from catalog_sync.domain.models import Facts
from catalog_sync.sources import litellm, make_facts, openrouter, own_list
from catalog_sync.sources.facts import read_facts
from common.http.fetch import Fetcher, SourceUnreadable
from common.urls import UrlRules

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def entry(provider: str = "openai", **more: Any) -> dict[str, Any]:
    return {
        "litellm_provider": provider,
        "mode": "chat",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
        **more,
    }


def price_file(**models: Any) -> bytes:
    padding = {f"gpt-padding-{number}": entry() for number in range(20)}
    return json.dumps({"sample_spec": {"litellm_provider": "one of …"}, **padding, **models}).encode()


def read_of(body: bytes, name: str) -> Any:
    return next((one for one in litellm.parse(body) if one.facts.name == name), None)


@pytest.mark.parametrize(
    ("stated", "unit", "rate"),
    [
        ({"mode": "rerank", "input_cost_per_query": 0.002, "input_cost_per_token": 0}, "rerank_searches", "0.002"),
        ({"mode": "audio_transcription", "input_cost_per_second": 0.0001}, "input_audio_seconds", "0.0001"),
        ({"mode": "audio_speech", "input_cost_per_character": 1.5e-05}, "input_characters", "0.000015"),
        ({"mode": "image_generation", "output_cost_per_image": 0.04}, "images", "0.04"),
    ],
)
def test_a_price_file_gives_prices_of_one_of_something(stated: dict[str, Any], unit: str, rate: str) -> None:
    one = read_of(price_file(x={"litellm_provider": "openai", **stated}), "x")
    assert one.prices[0].by_hour[0][unit].basis == Decimal(rate)


def test_a_price_of_one_of_something_that_is_none_leaves_the_model_without_a_price() -> None:
    assert read_of(price_file(x=entry(input_cost_per_query="free")), "x").prices == ()


def test_a_price_file_gives_facts_prices_by_unit_tiers_service_tiers_and_the_announced_end() -> None:
    one = read_of(
        price_file(
            x=entry(
                cache_read_input_token_cost=2.5e-7,
                cache_creation_input_token_cost=1.25e-6,
                cache_creation_input_token_cost_above_1hr=2e-6,
                input_cost_per_token_above_200k_tokens=2e-6,
                input_cost_per_token_priority=1.7e-6,
                output_cost_per_token_priority=3.4e-6,
                input_cost_per_audio_token=1e-5,
                max_input_tokens=400_000,
                max_output_tokens=8_192,
                supports_vision=True,
                supports_function_calling=True,
                deprecation_date="2027-03-31",
            )
        ),
        "x",
    )
    assert one.facts == Facts("openai", "x", "x", "", (), 400_000, 8_192, ("chat", "vision", "tools"))
    assert one.ends_at == datetime(2027, 3, 31, tzinfo=UTC)
    [price] = one.prices
    [quotes] = price.by_hour
    assert {name: quote.basis for name, quote in quotes.items()} == {
        "input_tokens": 1, "output_tokens": 2, "cached_input_tokens": Decimal("0.25"), "audio_input_tokens": 10,
        "cache_write_5m_tokens": Decimal("1.25"), "cache_write_1h_tokens": 2,
    }  # fmt: skip
    assert quotes["input_tokens"].above == ((200_000, Decimal(2)),)
    assert price.by_service_tier["priority"][0]["input_tokens"].basis == Decimal("1.7")


def test_names_are_the_providers_own_and_copies_are_left_out() -> None:
    body = price_file(
        **{
            "groq/llama-3.1-8b-instant": entry("groq"),
            "gemini/gemini-2.5-pro": entry("gemini"),
            "azure/eu/gpt-4o": entry("azure"),
            "ft:gpt-4o": entry(),
            "bedrock/us-east-1/anthropic.claude": entry("bedrock"),
            "someone/unknown": entry("someone"),
        }
    )
    found = {(one.facts.provider_type, one.facts.name) for one in litellm.parse(body)}
    assert {one for one in found if "padding" not in one[1]} == {
        ("groq", "llama-3.1-8b-instant"),
        ("google", "gemini-2.5-pro"),
    }


@pytest.mark.parametrize("rate", ["NaN", "Infinity", -1, 1e9, "x" * 1000, True, None, [], "1e999999999", 1e-30, "0x10"])
def test_a_price_that_is_none_is_left_out_with_its_whole_price(rate: Any) -> None:
    one = read_of(price_file(x=entry(output_cost_per_token=rate)), "x")
    assert one.prices == ()


def test_a_name_of_look_alike_letters_with_spaces_or_without_end_is_no_model() -> None:
    strange = ("gpt-4о", "gpt 4", "gpt-4\u200b", "", "x" * 300, "gpt-4\n", "ｇｐｔ-4")
    assert {one.facts.name for one in litellm.parse(price_file(**{name: entry() for name in strange}))}.isdisjoint(
        strange
    )
    listed = [{"id": name, "pricing": {}} for name in strange[:3]] + [{"id": f"a/b{n}"} for n in range(3)]
    assert {one.facts.name for one in openrouter.parse(json.dumps({"data": listed}).encode())} == {
        "a/b0",
        "a/b1",
        "a/b2",
    }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (price_file()[:-20], "not JSON (it may have been cut short)"),
        (b"<!DOCTYPE html><html>", "not JSON (it looks like HTML)"),
        (b"", "not JSON (it is empty)"),
        (b"[" * 200_000, "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "should be"),
        (b"null", "should be"),
        (b"{}", ""),
        (b'{"data": {}}', ""),
        (b'{"data": [1, "a", null, {}]}', ""),
    ],
)
@pytest.mark.parametrize("parse", [litellm.parse, openrouter.parse, lambda body: own_list.parse("openai", body)])
def test_what_is_no_list_of_models_is_unreadable_and_says_why(parse: Any, body: bytes, why: str) -> None:
    if body == price_file()[:-20] or why:
        with pytest.raises(SourceUnreadable) as raised:
            parse(body)
        assert why.partition(" (")[0].removeprefix("should be") in raised.value.message
    else:
        with pytest.raises(SourceUnreadable):
            parse(body)


def test_openrouters_list_gives_its_own_models_with_prices_lengths_and_capabilities() -> None:
    listed = {
        "id": "openai/gpt-x",
        "name": "OpenAI: GPT X",
        "context_length": 128_000,
        "top_provider": {"max_completion_tokens": 16_384},
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "supported_parameters": ["tools", "structured_outputs", "reasoning"],
        "pricing": {"prompt": "0.0000025", "completion": "0.00001", "request": "0", "image": "0.003",
                    "internal_reasoning": "0", "input_cache_read": "0.00000125", "web_search": "0"},
    }  # fmt: skip
    auto = {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}}
    free = {"id": "a/b:free", "pricing": {"prompt": "0", "completion": "0"}}
    one, dynamic, nothing = openrouter.parse(json.dumps({"data": [listed, auto, free]}).encode())
    assert (one.facts.provider_type, one.facts.display_name) == ("openrouter", "OpenAI: GPT X")
    assert (one.facts.context_length, one.facts.max_output_tokens) == (128_000, 16_384)
    assert one.facts.capabilities == ("chat", "vision", "tools", "json_schema", "reasoning")
    assert {name: quote.basis for name, quote in one.prices[0].by_hour[0].items()} == {
        "input_tokens": Decimal("2.5"), "output_tokens": 10, "cached_input_tokens": Decimal("1.25"),
        "images": Decimal("0.003"),
    }  # fmt: skip
    assert dynamic.prices == ()
    assert nothing.prices[0].by_hour[0]["input_tokens"].basis == 0


@pytest.mark.parametrize(
    "body",
    [
        {"object": "list", "data": [{"id": "m-1", "context_window": 8192}]},
        [{"id": "m-1", "context_length": 8192}],
        {"models": [{"name": "models/m-1", "inputTokenLimit": 8192, "displayName": "m-1"}]},
    ],
)
def test_a_providers_own_list_is_read_in_each_of_its_shapes_and_gives_no_price(body: Any) -> None:
    [one] = own_list.parse("groq", json.dumps(body).encode())
    assert (one.facts.name, one.facts.context_length, one.prices) == ("m-1", 8192, ())


def test_the_committed_facts_come_from_such_a_file_and_hold_no_price() -> None:
    body = price_file(x=entry(max_output_tokens=5, supports_vision=True, deprecation_date="2027-01-02"))
    table = json.loads(make_facts.table_of(litellm.parse(body)))
    assert table["openai"]["x"] == [None, 5, "chat vision", "2027-01-02"]
    known = read_facts()
    assert sum(len(models) for models in known.by_type.values()) > 1500
    assert known.of("openai", ["gpt-4o"]).max_output_tokens == 16_384
    assert "vision" in known.of("openrouter", ["openai/gpt-4o:extended"]).capabilities


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[str]:
    """A server that answers every connection in its own way; its host and port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answering(status: str, body: bytes, *headers: str) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return answer


async def for_ever(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 524288000\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def drop_by_drop(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering("302 Found", b"", "location: http://169.254.169.254/latest"), "redirects elsewhere"),
        (answering("500 Oops", b"{}"), "HTTP 500"),
        (answering("200 OK", b"x", "content-encoding: gzip"), "compressed"),
        (for_ever, "more than 64 KiB"),
        (drop_by_drop, "within 1 s"),
    ],
)
async def test_a_source_that_redirects_fails_floods_or_dawdles_is_given_up(answer: Answer, why: str) -> None:
    async with served(answer) as at:
        # Whoever dawdles is waited for; the others are found out long before, however busy the machine.
        deadline = 1 if answer is drop_by_drop else 20
        fetch = Fetcher(UrlRules(frozenset({at})), deadline_seconds=deadline, most_bytes=65_536)
        with pytest.raises(SourceUnreadable) as raised:
            await fetch(f"http://{at}/feed.json?secret=1")
    assert why in raised.value.message
    assert "secret" not in raised.value.message


async def test_a_source_is_fetched_whole_and_only_where_nobody_lives_indoors() -> None:
    async with served(answering("200 OK", b'{"a": 1}')) as at:
        assert await Fetcher(UrlRules(frozenset({at})))(f"http://{at}/") == b'{"a": 1}'
        for url in (f"http://{at}/", "https://169.254.169.254/latest", "https://localhost/", "file:///etc/passwd"):
            with pytest.raises(SourceUnreadable):
                await Fetcher(UrlRules(), deadline_seconds=2)(url)
