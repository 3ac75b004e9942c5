"""kill -9 of the gateway under load: whatever a client saw complete is billed, and no hold is left behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import httpx2
import redis.asyncio as redis
from machine import Key, Machine, eventually


async def test_a_killed_gateway_loses_no_completed_call(machine: Machine) -> None:
    key = await machine.make_key()
    complete: list[str] = []
    calling = [asyncio.create_task(_call_on(machine, key, complete, streamed=n % 2 == 0)) for n in range(12)]
    await asyncio.sleep(1.5)
    pid = machine.kill("gateway")
    await machine.restarted("gateway", pid)
    await asyncio.sleep(1.0)
    for task in calling:
        task.cancel()
    await asyncio.gather(*calling, return_exceptions=True)
    assert len(complete) > 20

    billed = {entry["request_id"] for entry in await _ledger_with(machine, key, complete)}
    assert set(complete) <= billed

    client = redis.from_url(machine.run["redis_url"])
    month = datetime.now(UTC).strftime("%Y:%m")

    async def nothing_is_held() -> bool:
        return int(await client.get(f"held:{key.id}:{month}") or 0) == 0

    await eventually(nothing_is_held, seconds=60)  # the dead gateway's leases run out after 30 s
    await client.aclose()
    summary = await machine.summary(key)
    entries = await _whole_ledger(machine, key)  # more than one page of it
    booked = sum((Decimal(e["amount_usd"]) for e in entries if e["account"].startswith("customer:")), Decimal(0))
    assert booked == Decimal(summary["total_cost_usd"])


async def _call_on(machine: Machine, key: Key, complete: list[str], *, streamed: bool) -> None:
    content = "[[simulate tokens=10 chunk_ms=5]]"
    while True:
        try:
            answer = await machine.chat(key, content, stream=streamed)
        except httpx2.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code == 200 and (not streamed or answer.text.endswith("data: [DONE]\n\n")):
            complete.append(answer.headers["x-request-id"])


async def _ledger_with(machine: Machine, key: Key, complete: list[str]) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = []

    async def has_all() -> bool:
        entries[:] = await _whole_ledger(machine, key)
        return set(complete) <= {entry["request_id"] for entry in entries}

    await eventually(has_all)
    return entries


async def _whole_ledger(machine: Machine, key: Key) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    cursor = None
    while True:
        params = {"api_key_id": key.id, "limit": "1000", **({"cursor": cursor} if cursor else {})}
        answer = await machine.admin.get("/api/v1/billing/ledger", params=params)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if not cursor:
            return found
