"""A streamed call is billed like a whole one, although its client never asked for usage."""

from __future__ import annotations

from decimal import Decimal

import openai
from machine import GPT_4_INPUT, GPT_4_OUTPUT, Machine


async def test_a_streamed_call_is_billed(machine: Machine) -> None:
    key = await machine.make_key()
    async with openai.AsyncOpenAI(api_key=key.secret, base_url=f"{machine.url}/v1") as client:
        stream = await client.chat.completions.create(
            model="gpt-4", messages=[{"role": "user", "content": "Count to 5"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    request_id = str(stream.response.headers["x-request-id"])
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "1, 2, 3, 4, 5"
    assert all(chunk.usage is None for chunk in chunks)

    called = machine.provider_calls()[request_id]
    summary = await machine.summary_of(key, 1)
    cost = called["prompt_tokens"] * GPT_4_INPUT + called["completion_tokens"] * GPT_4_OUTPUT
    assert Decimal(summary["total_cost_usd"]) == cost
    logged = await machine.request(request_id)
    assert logged["streamed"]
    assert not logged["usage"]["estimated"]
