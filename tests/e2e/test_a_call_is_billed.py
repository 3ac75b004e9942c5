"""A call is billed: price × tokens to the last decimal, in the answer, the summary, the ledger and the request log."""

from __future__ import annotations

from decimal import Decimal

from machine import Machine, owed


async def test_a_call_is_billed(machine: Machine) -> None:
    key = await machine.make_key(rate_limit=100, monthly_budget="10")
    answer = await machine.chat(key)
    assert answer.status_code == 200, answer.text
    cost = owed([answer])
    assert Decimal(answer.headers["x-tollgate-cost-usd"]) == cost

    summary = await machine.summary_of(key, 1)
    assert Decimal(summary["total_cost_usd"]) == cost
    assert summary["input_tokens"] == answer.json()["usage"]["prompt_tokens"]
    assert summary["output_tokens"] == answer.json()["usage"]["completion_tokens"]

    request_id = answer.headers["x-request-id"]
    entries = await machine.ledger(request_id=request_id)
    assert sorted(Decimal(entry["amount_usd"]) for entry in entries) == [-cost, cost]

    logged = await machine.request(request_id)
    assert Decimal(logged["cost_usd"]) == cost
    assert logged["status"] == "completed"
    called = machine.provider_calls()[request_id]
    assert (called["prompt_tokens"], called["completion_tokens"]) == (
        logged["usage"]["input_tokens"],
        logged["usage"]["output_tokens"],
    )


async def test_an_alias_is_billed_as_its_model(machine: Machine) -> None:
    key = await machine.make_key()
    answer = await machine.chat(key, model="my-gpt4")
    assert answer.status_code == 200, answer.text
    summary = await machine.summary_of(key, 1)
    assert Decimal(summary["total_cost_usd"]) == owed([answer])
