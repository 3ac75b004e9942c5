"""OpenAI's old completions: by their own words where a provider has them, by chat elsewhere; whole and streamed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from common.money import Money
from gateway_house import Caller, House
from operated import add_model

PLACES = {
    "openai": "gpt-3.5-turbo-instruct",
    "together": "meta-llama/Llama-4-Scout",
    "mistral": "mistral-small-latest",
    "anthropic": "claude-sonnet-4-5",
    "google": "gemini-2.5-flash",
    "cohere": "command-a-03-2025",
    "bedrock": "amazon.nova-lite-v1:0",
}
each_place = pytest.mark.parametrize("provider", PLACES)
RATES = {"input_tokens": "1", "output_tokens": "2"}


async def post(house: House, caller: Caller, **members: Any) -> httpx2.Response:
    return await house.http.post("/v1/completions", json=members, headers=caller.headers)


@each_place
async def test_the_official_client_reads_whole_and_streamed_answers_alike(house: House, provider: str) -> None:
    model = await add_model(house, provider, PLACES[provider], RATES)
    caller = await house.caller(monthly_budget=Money.of("1"))
    asked: Any = {"model": model, "prompt": "Say hello!", "max_tokens": 50, "temperature": 0.5}
    async with openai.AsyncOpenAI(api_key=caller.secret, base_url=f"{house.url}/v1") as client:
        strict = client.copy(_extra_kwargs={"_strict_response_validation": True})
        whole = await strict.completions.create(**asked)
        stream = await client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
    assert whole.object == "text_completion"
    assert whole.choices[0].text.startswith("Hello!")
    assert whole.choices[0].finish_reason == "stop"
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text
    assert (chunks[-1].choices, chunks[-1].usage and chunks[-1].usage.total_tokens) == ([], whole.usage.total_tokens)  # type: ignore[union-attr]
    events = await house.told(caller, 2)
    assert [(event.operation, event.streamed, event.provider_type) for event in events] == [
        ("completions", False, provider),
        ("completions", True, provider),
    ]
    for event in events:
        used = event.usage
        assert Decimal(str(event.cost_usd)) == (used.input_tokens + 2 * used.output_tokens) / Decimal(1_000_000)


async def test_what_has_no_counterpart_in_chat_is_refused_or_named(house: House) -> None:
    model = await add_model(house, "anthropic", PLACES["anthropic"], RATES)
    caller = await house.caller()
    named = await post(house, caller, model=model, prompt=["Hi"], echo=True, best_of=1, logprobs=2)
    assert named.headers["x-tollgate-dropped-params"] == "echo, logprobs"
    for content in ({"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"prompt": "a", "suffix": "b"}):
        refused = await post(house, caller, model=model, **content)
        assert (refused.status_code, refused.json()["error"]["reason"]) == (400, "unsupported_by_provider")


async def test_several_prompts_pass_to_who_takes_them_and_each_is_held(house: House) -> None:
    model = await add_model(house, "together", PLACES["together"], {"input_tokens": "0", "output_tokens": "1000"})
    caller = await house.caller(monthly_budget=Money.of("0.02"))
    assert (await post(house, caller, model=model, prompt=["a", "b"], max_tokens=10)).status_code == 200
    refused = await post(house, caller, model=model, prompt=["a", "b"], max_tokens=5, best_of=2)
    assert refused.status_code == 402


async def test_a_client_that_says_nothing_of_length_gets_what_the_api_says(house: House) -> None:
    model = await add_model(house, "openai", PLACES["openai"], RATES)
    caller = await house.caller()
    answer = await post(house, caller, model=model, prompt="[[simulate tokens=40]]")
    assert (answer.json()["usage"]["completion_tokens"], answer.json()["choices"][0]["finish_reason"]) == (16, "length")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_stream_that_breaks_off_is_an_error_and_paid_for_what_came(house: House, provider: str) -> None:
    model = await add_model(house, provider, PLACES[provider], RATES)
    caller = await house.caller()
    words = "[[simulate tokens=30 chunk_ms=2 cut_after=12]]"
    answer = await post(house, caller, model=model, prompt=words, stream=True, max_tokens=60)
    assert "[DONE]" not in answer.text
    assert '"error"' in answer.text
    [event] = await house.told(caller)
    assert (event.status, event.operation) == ("failed", "completions")


@pytest.mark.parametrize("prompt", [[], ["a", 1], {}, None, ["a"] * 129])
async def test_a_prompt_that_is_none_is_refused_by_name(house: House, prompt: Any) -> None:
    refused = await post(house, await house.caller(), model="gpt-4", prompt=prompt)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt"), refused.text
