"""100 requests a minute are 100 requests, at once or one after the other."""

from __future__ import annotations

import asyncio
from collections import Counter

from machine import Machine


async def test_the_101st_request_is_refused(machine: Machine) -> None:
    key = await machine.make_key(rate_limit=100)
    answers = await asyncio.gather(*[machine.chat(key, max_tokens=1) for _ in range(130)])
    assert Counter(answer.status_code for answer in answers) == {200: 100, 429: 30}
    refused = await machine.chat(key, max_tokens=1)
    assert refused.json()["error"]["message"] == "rate limit exceeded"
    assert refused.json()["error"]["code"] == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    summary = await machine.summary_of(key, 100)
    assert summary["total_requests"] == 100
