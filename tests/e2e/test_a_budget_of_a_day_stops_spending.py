"""A further budget, of a key for a day: calls from before it count, and the call that would pass it is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from machine import Machine, eventually


async def test_a_budget_of_a_day_stops_spending(machine: Machine) -> None:
    key = await machine.make_key()
    first = await machine.chat(key, max_tokens=16)
    assert first.status_code == 200
    cost = Decimal(first.headers["x-tollgate-cost-usd"])
    await machine.summary_of(key, 1)
    body = {"scope": "key", "scope_id": key.id, "period": "daily", "limit": str(cost)}
    made = await machine.admin.post("/api/budgets", json=body)
    assert made.status_code == 201, made.text
    budget = made.json()
    assert (Decimal(str(budget["spent"])), budget["percentage"]) == (cost, 100.0)

    async def refused() -> bool:
        answer = await machine.chat(key, max_tokens=16)
        return bool(answer.status_code == 402)

    # What was spent before reaches the gateways' counters a moment after the budget was made.
    await eventually(refused)
    dry = {"model": "gpt-4", "api_key_id": key.id, "input_tokens": 10, "max_tokens": 16}
    decision: dict[str, Any] = (await machine.admin.post("/api/v1/billing/dry-run", json=dry)).json()
    assert (decision["allowed"], decision["rule"]["budget_id"]) == (False, budget["id"])
    assert (await machine.admin.delete(f"/api/budgets/{budget['id']}")).status_code == 204
    assert (await machine.chat(key, max_tokens=16)).status_code == 200
