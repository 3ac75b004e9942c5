"""Embeddings by every wire that has them, through the whole gateway, as the official client asks for them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from common.money import Money
from gateway_house import Caller, House
from operated import add_model

TEXTS = ["the old lighthouse", "a folded map", "sound of rain"]
PLACES = {
    "openai": ("text-embedding-3-small", "0.02", 3),
    "google": ("gemini-embedding-001", "0.15", 3),
    "vertex": ("text-embedding-005", "0.025", 3),
    "cohere": ("embed-v4.0", "0.12", 3),
    "bedrock": ("amazon.titan-embed-text-v2:0", "0.02", 1),
}


async def post(house: House, caller: Caller, **members: Any) -> httpx2.Response:
    return await house.http.post("/v1/embeddings", json=members, headers=caller.headers)


@pytest.mark.parametrize("provider", PLACES)
async def test_the_official_client_gets_vectors_from_every_wire(house: House, provider: str) -> None:
    name, rate, most = PLACES[provider]
    model = await add_model(house, provider, name, {"input_tokens": rate}, context_length=8192)
    caller = await house.caller(monthly_budget=Money.of("1"))
    asked: Any = {"model": model, "input": TEXTS[:most], "dimensions": 64}
    async with openai.AsyncOpenAI(api_key=caller.secret, base_url=f"{house.url}/v1") as client:
        in_base64 = await client.embeddings.create(**asked)
        strict = client.copy(_extra_kwargs={"_strict_response_validation": True})
        in_floats = await strict.embeddings.create(**asked, encoding_format="float")
    assert [len(one.embedding) for one in in_base64.data] == [64] * most
    assert [one.index for one in in_base64.data] == list(range(most))
    assert [one.embedding for one in in_base64.data] == [one.embedding for one in in_floats.data]
    assert all(math.isfinite(number) for one in in_base64.data for number in one.embedding)
    first, _ = events = await house.told(caller, 2)
    assert {(event.operation, event.provider_type, event.status) for event in events} == {
        ("embeddings", provider, "completed")
    }
    assert first.usage.input_tokens == in_base64.usage.prompt_tokens == in_base64.usage.total_tokens > 0
    assert not first.usage.estimated
    assert Decimal(str(first.cost_usd)) == first.usage.input_tokens * Decimal(rate) / 1_000_000
    held, spent = await house.open_money(caller)
    assert (held, spent) == (0, int(2 * Decimal(str(first.cost_usd)) * 10**9))


async def test_tokens_in_place_of_texts_pass_where_they_mean_something(house: House) -> None:
    model = await add_model(house, "openai", "text-embedding-3-small", {"input_tokens": "0.02"})
    other = await add_model(house, "cohere", "embed-v4.0", {"input_tokens": "0.12"})
    caller = await house.caller()
    answer = await post(house, caller, model=model, input=[[1, 2, 3], [4, 5]])
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["total_tokens"] == 5
    refused = await post(house, caller, model=other, input=[1, 2, 3])
    assert (refused.status_code, refused.json()["error"]["reason"]) == (400, "unsupported_by_provider")
    assert refused.json()["error"]["param"] == "input"


async def test_who_does_not_embed_says_so_and_another_may(house: House) -> None:
    caller = await house.caller()
    refused = await post(house, caller, model="groq/llama-3.3-70b-versatile", input="Hi")
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "Groq does not do embeddings")
    [event] = await house.told(caller)
    assert (event.status, Decimal(str(event.cost_usd)), event.operation) == ("failed", Decimal(0), "embeddings")


async def test_a_batch_is_held_for_all_its_texts_and_refused_beyond_a_budget(house: House) -> None:
    model = await add_model(house, "openai", "text-embedding-3-large", {"input_tokens": "1000"}, context_length=100)
    caller = await house.caller(monthly_budget=Money.of("0.15"))
    assert (await post(house, caller, model=model, input="x" * 400)).status_code == 200  # no text is longer than 100
    refused = await post(house, caller, model=model, input=["x" * 400, "y" * 400])
    assert (refused.status_code, refused.json()["error"]["reason"]) == (402, "budget_exceeded")


@pytest.mark.parametrize(
    "given", ["", [], [""], ["a", 1], [[]], {"text": "a"}, None, ["a"] * 2049], ids=lambda one: str(one)[:12]
)
async def test_an_input_that_is_none_is_refused_by_name(house: House, given: Any) -> None:
    refused = await post(house, await house.caller(), model="openai/text-embedding-3-small", input=given)
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"].startswith("input")


async def test_a_model_without_a_price_is_charged_at_the_fallback(house: House) -> None:
    model = await add_model(house, "openai", "text-embedding-unpriced", None)
    caller = await house.caller()
    answer = await post(house, caller, model=model, input="the old lighthouse")
    [event] = await house.told(caller)
    assert event.price.is_fallback
    assert Decimal(str(event.cost_usd)) == answer.json()["usage"]["total_tokens"] * Decimal("0.5") / 1_000_000


async def test_the_same_request_is_answered_once_for_an_idempotency_key(house: House) -> None:
    model = await add_model(house, "openai", "text-embedding-3-small", {"input_tokens": "0.02"})
    caller = await house.caller()
    headers = {**caller.headers, "idempotency-key": "once"}
    body = {"model": model, "input": "a folded map"}
    first = await house.http.post("/v1/embeddings", json=body, headers=headers)
    second = await house.http.post("/v1/embeddings", json=body, headers=headers)
    assert first.content == second.content
    assert len(await house.told(caller)) == 1


async def test_a_cached_answer_is_free(house: House) -> None:
    model = await add_model(house, "cohere", "embed-v4.0", {"input_tokens": "0.12"})
    caller = await house.caller(cache_ttl_s=60)
    for _ in range(2):
        assert (await post(house, caller, model=model, input="yesterday's list")).status_code == 200
    [first, second] = await house.told(caller, 2)
    assert (first.cache, second.cache, Decimal(str(second.cost_usd))) == ("miss", "hit", Decimal(0))


async def test_a_provider_s_refusal_keeps_its_words(house: House) -> None:
    model = await add_model(house, "cohere", "embed-v4.0", {"input_tokens": "0.12"})
    refused = await post(house, await house.caller(), model=model, input="[[simulate status=429 retry_after=2]]")
    assert refused.status_code == 429
    assert "Trial key" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/v1/embeddings/", "/embeddings", "/openai/v1/embeddings", "/api/openai/v1/embeddings/"]
)
async def test_the_door_has_the_same_other_names_as_chat_s(house: House, path: str) -> None:
    model = await add_model(house, "openai", "text-embedding-3-small", {"input_tokens": "0.02"})
    caller = await house.caller()
    answer = await house.http.post(path, json={"model": model, "input": "a"}, headers={"api-key": caller.secret})
    assert answer.status_code == 200, answer.text
    wrong = await house.http.get(path, headers=caller.headers)
    assert wrong.status_code == 405
