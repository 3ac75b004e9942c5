"""Billing killed in the middle of a batch books everything once after its restart; so it is with Postgres."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from machine import Machine, owed


async def test_a_killed_billing_service_loses_nothing(machine: Machine) -> None:
    key = await machine.make_key()
    calling = asyncio.gather(*[machine.chat(key) for _ in range(60)])
    await asyncio.sleep(0.2)
    for _ in range(2):
        pid = machine.kill("billing")
        await machine.restarted("billing", pid)
    answers = await calling
    assert {answer.status_code for answer in answers} == {200}
    summary = await machine.summary_of(key, 60)
    assert summary["total_requests"] == 60
    assert Decimal(summary["total_cost_usd"]) == owed(answers)


async def test_calls_are_served_and_billed_although_postgres_was_killed(machine: Machine) -> None:
    key = await machine.make_key()
    pid = machine.kill("postgres")
    answers = [await machine.chat(key) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    await machine.restarted("postgres", pid)
    summary = await machine.summary_of(key, 10)
    assert Decimal(summary["total_cost_usd"]) == owed(answers)
