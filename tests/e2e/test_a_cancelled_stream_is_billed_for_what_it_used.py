"""A client that hangs up stops the provider and owes what was produced until then: not nothing, not everything."""

from __future__ import annotations

from decimal import Decimal

import httpx2
from machine import GPT_4_OUTPUT, Machine, eventually


async def test_a_cancelled_stream_is_billed_for_what_it_used(machine: Machine) -> None:
    key = await machine.make_key()
    body = {
        "model": "gpt-4",
        "stream": True,
        "messages": [{"role": "user", "content": "[[simulate tokens=400 chunk_ms=20]]"}],
    }
    headers = {"authorization": f"Bearer {key.secret}"}
    async with (
        httpx2.AsyncClient(base_url=machine.url) as client,
        client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer,
    ):
        request_id = answer.headers["x-request-id"]
        seen, lines = 0, answer.aiter_lines()
        while seen < 20:
            seen += (await anext(lines)).startswith("data: ")

    summary = await machine.summary_of(key, 1)
    logged = await machine.request(request_id)
    assert logged["status"] == "cancelled"
    assert logged["usage"]["estimated"]

    async def provider_stopped() -> bool:
        return bool(machine.provider_calls()[request_id]["phase"] == "ended")

    await eventually(provider_stopped)
    called = machine.provider_calls()[request_id]
    assert called["disconnected"]
    assert called["sent_chunks"] < 100
    produced = logged["usage"]["output_tokens"]
    assert 15 <= produced <= called["completion_tokens"]
    assert Decimal(summary["total_cost_usd"]) >= 15 * GPT_4_OUTPUT
