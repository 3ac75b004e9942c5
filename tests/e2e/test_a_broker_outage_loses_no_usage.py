"""With NATS stopped or killed calls go on; their events wait, and are billed once when it is back."""

from __future__ import annotations

import asyncio
import signal
from decimal import Decimal

from machine import Machine, owed


async def test_a_paused_broker_loses_no_usage(machine: Machine) -> None:
    key = await machine.make_key()
    machine.kill("nats", signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*[machine.chat(key) for _ in range(10)])
    finally:
        machine.kill("nats", signal.SIGCONT)
    assert {answer.status_code for answer in answers} == {200}, [a.text for a in answers if a.status_code != 200]
    summary = await machine.summary_of(key, 10)
    assert summary["total_requests"] == 10
    assert Decimal(summary["total_cost_usd"]) == owed(answers)


async def test_a_killed_broker_loses_no_usage(machine: Machine) -> None:
    key = await machine.make_key()
    before = [await machine.chat(key) for _ in range(5)]
    pid = machine.kill("nats")
    during = await asyncio.gather(*[machine.chat(key) for _ in range(10)])
    await machine.restarted("nats", pid)
    after = [await machine.chat(key) for _ in range(5)]
    answers = [*before, *during, *after]
    assert {answer.status_code for answer in answers} == {200}, [a.text for a in answers if a.status_code != 200]
    summary = await machine.summary_of(key, 20)
    assert summary["total_requests"] == 20
    assert Decimal(summary["total_cost_usd"]) == owed(answers)
