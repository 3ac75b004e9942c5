"""A gateway that spells its refusals as OpenAI does, and runs two calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from common.ids import uuid7
from common.money import Money
from gateway_house import House, open_house
from gateway_stack import all_but


@pytest_asyncio.fixture(scope="module")
async def strict(servers: Any, simulator: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A gateway that spells its refusals as OpenAI does, and runs two calls at a time."""
    settings = {"GATEWAY_ERROR_CODES": "openai", "GATEWAY_MAX_RUNNING": "2"}
    folder = tmp_path_factory.mktemp("strict")
    async with open_house(servers.nats_url, servers.redis_url, simulator, folder, settings) as opened:
        yield opened


async def test_refusals_can_be_openai_s_own(strict: House) -> None:
    caller = await strict.caller(rate_limit=1)
    answer = await strict.ask(caller, model="gpt-99")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "unknown model: gpt-99",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    await strict.ask(caller)
    limited = await strict.ask(caller)
    assert limited.json()["error"]["type"] == "requests"
    poor = await strict.caller(monthly_budget=Money.of("0.0000001"))
    async with openai.AsyncOpenAI(api_key=poor.secret, base_url=f"{strict.url}/v1") as client:
        with pytest.raises(openai.RateLimitError) as raised:
            await client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hi"}])
    assert (raised.value.code, raised.value.type) == ("insufficient_quota", "insufficient_quota")
    metrics = (await strict.http.get("/metrics")).text
    assert 'tollgate_gateway_requests_total{route="refused",status="402"} 1' in metrics
    broken = await strict.ask(await strict.caller(), "[[simulate status=500]]")
    assert (broken.json()["error"]["code"], broken.json()["error"]["type"]) == ("provider_error", "server_error")


async def test_what_is_too_much_at_once_is_shed(strict: House) -> None:
    caller = await strict.caller(rate_limit=100)
    gate = uuid7()
    shed, running = await all_but(2, [strict.ask(caller, f"[[simulate held={gate}]]") for _ in range(6)])
    await strict.let_go(gate)
    assert [answer.status_code for answer in await asyncio.gather(*running)] == [200, 200]
    assert {answer.status_code for answer in shed} == {503}
    assert all(answer.json()["error"]["code"] == "overloaded" for answer in shed)
    assert all(answer.headers["retry-after"] == "1" for answer in shed)
    assert await strict.redis.zcard(f"rate_limit:{caller.id}") == 2
