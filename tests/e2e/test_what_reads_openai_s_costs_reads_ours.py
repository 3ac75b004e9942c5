"""OpenAI's own client asks its admin API for usage and costs, and gets ours: an admin's session is its key."""

from __future__ import annotations

import time

import openai
import pytest
from machine import Machine
from published import check


async def test_what_reads_openai_s_costs_reads_ours(machine: Machine) -> None:
    key = await machine.make_key()
    answer = await machine.chat(key)
    await machine.request(answer.headers["x-request-id"])
    session = machine.admin.headers["authorization"].removeprefix("Bearer ")
    began = int(time.time()) - 86_400
    async with openai.AsyncOpenAI(admin_api_key=session, api_key=session, base_url=f"{machine.url}/v1") as client:
        usage = await client.admin.organization.usage.completions(start_time=began, api_key_ids=[key.id])
        costs = await client.admin.organization.usage.costs(start_time=began, api_key_ids=[key.id])
    [used] = [result for bucket in usage.data for result in bucket.results]
    [paid] = [result for bucket in costs.data for result in bucket.results]
    assert used.object == "organization.usage.completions.result"
    assert paid.object == "organization.costs.result"
    assert used.num_model_requests == 1
    assert used.input_tokens == answer.json()["usage"]["prompt_tokens"]
    assert paid.amount is not None
    assert paid.amount.value == pytest.approx(float(answer.headers["x-tollgate-cost-usd"]))
    for path, kind in (("usage/completions", "usage"), ("costs", "costs")):
        told = await machine.admin.get(f"/v1/organization/{path}", params={"start_time": began, "api_key_ids": key.id})
        check(kind, told.json())
        assert [result for bucket in told.json()["data"] for result in bucket["results"]]
    refused = await machine.caller.get("/v1/organization/costs?start_time=0")
    assert refused.status_code == 401
