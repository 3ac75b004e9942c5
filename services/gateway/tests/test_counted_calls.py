"""Calls whose bytes are too many for what is left: let in by their tokens, where somebody can count them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest_asyncio
from common.contracts.snapshots import CredentialSnapshot, ProviderSnapshot
from common.money import Money
from gateway_stack import KEY, KEY_ID, Stack, key_snapshot, model_snapshot
from own_provider import Got, own_provider, whole

WORDS = "river lantern orchard copper " * 100  # 2,900 bytes, some 500 tokens
COUNTED = "gpt-4o"


async def answer(got: Got, writer: asyncio.StreamWriter) -> None:
    """Say something short."""
    writer.write(whole("ok"))


@pytest_asyncio.fixture
async def place(stack: Stack) -> AsyncIterator[Stack]:
    """A gateway before a provider of our own that has a model whose vocabulary is known."""
    async with own_provider(answer) as provider:
        own = {"id": "custom", "name": "custom", "provider_type": "custom", "display_name": "Custom"}
        await stack.put("catalog", "provider.custom", ProviderSnapshot(base_url=provider.url, **own))
        await stack.put("catalog", "model.own", model_snapshot("custom", COUNTED, "30", "60"))
        credential = CredentialSnapshot(id="cred-custom", provider_type="custom", version=1)
        await stack.put("credentials", "cred-custom", credential)
        await stack.is_callable(COUNTED)
        yield stack


async def put_key(stack: Stack, **changes: Any) -> None:
    """The test key, with no limits but these, once the gateway has it."""
    given = {"rate_limit": None, "monthly_budget": None, "allowed_models": (COUNTED,), **changes}
    await stack.put("keys", KEY_ID, key_snapshot(**given))
    for _ in range(300):
        rows = (await stack.http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})).json()["data"]
        if {row["id"] for row in rows} == {COUNTED}:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the gateway does not hear of a key")


async def ask(stack: Stack, words: str) -> httpx2.Response:
    """A call that may say one token."""
    return await stack.chat(words, model=COUNTED, max_tokens=1)


async def counted_calls(stack: Stack) -> int:
    """How many calls had their tokens counted."""
    lines = (await stack.http.get("/metrics")).text.splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("tollgate_gateway_counted_calls "))


async def test_a_call_is_let_in_by_its_tokens_where_its_bytes_are_too_many(place: Stack) -> None:
    await put_key(place, monthly_budget=Money.of("0.05"))  # 1,666 tokens
    assert (await ask(place, "Hi")).status_code == 200
    assert await counted_calls(place) == 0
    assert (await ask(place, WORDS)).status_code == 200
    assert await counted_calls(place) == 1
    assert (await ask(place, WORDS * 5)).status_code == 402
    assert await counted_calls(place) == 2
    assert await place.held() == 0


async def test_nothing_is_counted_where_nothing_is_left(place: Stack) -> None:
    await put_key(place, monthly_budget=Money.of("0"))
    assert (await ask(place, WORDS)).status_code == 402
    assert await counted_calls(place) == 0


async def test_nothing_is_counted_of_what_its_own_words_do_not_bound(place: Stack) -> None:
    await put_key(place, monthly_budget=Money.of("0.05"))
    searching = {"web_search_options": {}, "model": COUNTED, "max_tokens": 1}
    assert (await place.chat(WORDS, **searching)).status_code == 402
    assert await counted_calls(place) == 0


async def test_tokens_a_minute_are_reserved_by_tokens_where_bytes_would_never_fit(place: Stack) -> None:
    await put_key(place, token_limit=1_200)
    let_in = await ask(place, WORDS)
    assert let_in.status_code == 200
    assert int(let_in.headers["x-ratelimit-remaining-tokens"]) > 400
