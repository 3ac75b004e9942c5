"""A budget is never passed, however many call at once, and what it says when it is spent makes clients stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import openai
import pytest
from machine import Machine, owed


async def test_an_exhausted_budget_stops_spending(machine: Machine) -> None:
    key = await machine.make_key(monthly_budget="0.05")
    answers = await asyncio.gather(*[machine.chat(key, max_tokens=20) for _ in range(120)])
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 402}
    served = [answer for answer in answers if answer.status_code == 200]
    while (more := await machine.chat(key, max_tokens=20)).status_code == 200:
        served.append(more)

    assert more.json()["error"]["message"] == "monthly budget exceeded"
    assert more.json()["error"]["code"] == 402
    assert more.headers["x-should-retry"] == "false"
    summary = await machine.summary_of(key, len(served))
    assert Decimal(summary["total_cost_usd"]) == owed(served) <= Decimal("0.05")

    async with openai.AsyncOpenAI(api_key=key.secret, base_url=f"{machine.url}/v1", max_retries=5) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(
                model="gpt-4", messages=[{"role": "user", "content": "Hello!"}], max_tokens=20
            )
    assert refused.value.status_code == 402
    assert refused.value.request.headers["x-stainless-retry-count"] == "0"  # of five retries that it may make
