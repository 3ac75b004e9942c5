"""The official OpenAI client against the gateway: how often it calls again, and what its helpers make of our streams."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from common.ids import uuid7
from common.money import Money
from common.testing.serving import eventually
from gateway_house import Caller, House
from wire_streams import fold, shown

MESSAGES: Any = [{"role": "user", "content": "Say hello!"}]
TIDE: Any = {"type": "function", "function": {"name": "read_tide", "parameters": {"type": "object", "properties": {}}}}


def client_of(house: House, caller: Caller, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=caller.secret, base_url=f"{house.url}/v1", **options)


async def calls(house: House) -> int:
    """How many requests of any kind the gateway has answered."""
    lines = (await house.http.get("/metrics")).text.splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("tollgate_gateway_requests_total"))


async def tries(house: House, caller: Caller, words: str, **options: Any) -> tuple[int, openai.APIStatusError, float]:
    """How often the client calls for words that fail, what it raises, and how long that takes."""
    before, began = await calls(house), asyncio.get_running_loop().time()
    async with client_of(house, caller, **options) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": words}])
    seconds = asyncio.get_running_loop().time() - began
    await asyncio.sleep(0.1)  # an answer is counted right after it was sent
    return await calls(house) - before, raised.value, seconds


async def test_a_spent_budget_is_asked_for_once(house: House) -> None:
    caller = await house.caller(monthly_budget=Money.of("0.0000001"))
    count, error, _ = await tries(house, caller, "Hi")
    assert (count, error.status_code) == (1, 402)
    assert error.request_id
    assert error.type == "invalid_request_error"


@pytest.mark.parametrize("words", ["[[simulate status=400]]", "[[simulate status=401]]", "[[simulate status=404]]"])
async def test_what_time_does_not_cure_is_asked_for_once(house: House, words: str) -> None:
    count, _, _ = await tries(house, await house.caller(), words)
    assert count == 1


async def test_a_rate_limit_is_waited_for_as_long_as_it_says(house: House) -> None:
    count, error, seconds = await tries(
        house, await house.caller(), "[[simulate status=429 retry_after=1]]", max_retries=1
    )
    assert isinstance(error, openai.RateLimitError)
    assert count == 2
    assert seconds >= 1


async def test_a_slot_that_becomes_free_lets_a_further_try_through(house: House) -> None:
    caller = await house.caller(max_concurrency=1)
    gate = uuid7()
    slow = asyncio.create_task(house.ask(caller, f"[[simulate held={gate}]]"))
    await eventually(lambda: house.redis.zcard(f"concurrency:{caller.id}"))
    before = await calls(house)

    async def is_refused() -> bool:
        return await calls(house) > before

    async with client_of(house, caller, max_retries=5) as client:
        asking = asyncio.create_task(client.chat.completions.create(model="gpt-4", messages=MESSAGES))
        await eventually(is_refused)
        await house.let_go(gate)
        answer = await asking
    assert answer.choices[0].message.content
    assert (await slow).status_code == 200


async def test_a_broken_provider_is_tried_again_by_the_client_s_own_count(house: House) -> None:
    count, error, _ = await tries(house, await house.caller(), "[[simulate status=500]]", max_retries=1)
    assert isinstance(error, openai.InternalServerError)
    assert (count, error.status_code) == (2, 502)


async def test_two_choices_are_streamed_side_by_side(house: House) -> None:
    async with client_of(house, await house.caller()) as client:
        words: dict[int, str] = {0: "", 1: ""}
        ends: dict[int, str | None] = {}
        async for chunk in await client.chat.completions.create(model="gpt-4", messages=MESSAGES, n=2, stream=True):
            for choice in chunk.choices:
                words[choice.index] += choice.delta.content or ""
                ends[choice.index] = choice.finish_reason or ends.get(choice.index)
        whole = await client.chat.completions.create(model="gpt-4", messages=MESSAGES, n=2)
    assert [choice.message.content for choice in whole.choices] == [words[0], words[1]]
    assert ends == {0: "stop", 1: "stop"}


@pytest.mark.parametrize(
    "cut", ["split_bytes=7", "crlf", "coalesce", "split_bytes=3 crlf", "obfuscation", "big_line=300000"]
)
@pytest.mark.parametrize("model", ["gpt-4", "llama-3.3-70b-versatile", "mistral-large-latest"])
async def test_parallel_tool_calls_come_through_any_cut(house: House, cut: str, model: str) -> None:
    caller = await house.caller()
    words = f"[[simulate tool_calls=2 unicode {cut}]]"
    answer = await house.ask(
        caller, words, model=model, stream=True, tools=[TIDE], stream_options={"include_usage": True}
    )
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
    chunks = shown(answer.content.removesuffix(b"data: [DONE]\n\n"))
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    [choice] = fold(chunks[:-1])
    assert choice["finish_reason"] == "tool_calls"
    assert len(choice["tool_calls"]) == 2
    assert len({call["id"] for call in choice["tool_calls"]}) == 2
    for call in choice["tool_calls"]:
        assert isinstance(json.loads(call["arguments"]), dict)
    [event] = await house.told(caller)
    assert event.usage.total_tokens == chunks[-1]["usage"]["total_tokens"]


async def test_the_client_s_own_stream_helper_reads_tool_calls(house: House) -> None:
    async with client_of(house, await house.caller()) as client:
        content: Any = "[[simulate tool_calls=2 no_arguments]]"
        asked: Any = [{"role": "user", "content": content}]
        async with client.chat.completions.stream(model="gpt-4", messages=asked, tools=[TIDE]) as stream:
            final = await stream.get_final_completion()
    assert len(final.choices[0].message.tool_calls or []) == 2


async def test_an_error_in_a_stream_is_raised_and_not_taken_for_its_end(house: House) -> None:
    async with client_of(house, await house.caller(), max_retries=0) as client:
        asked: Any = [{"role": "user", "content": "[[simulate tokens=20 chunk_ms=5 cut_after=5]]"}]
        stream = await client.chat.completions.create(model="gpt-4", messages=asked, stream=True)
        assert (await anext(stream)).choices
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]


async def test_models_are_listed_as_the_client_types_them(house: House) -> None:
    async with client_of(house, await house.caller()) as client:
        names = [model.id async for model in client.models.list()]
        assert "gpt-4" in names
        assert (await client.models.retrieve("openai/gpt-4")).owned_by == "openai"
