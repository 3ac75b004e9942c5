"""A model had a wrong price: once it is corrected, past calls are corrected, too, and agree with the provider's bill; so
does what analytics shows, however often it is told."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2
from common.bus.connect import connect
from common.bus.provision import consumer_config
from common.contracts.topology import Consumer, consumer_of
from machine import Key, Machine, eventually, read_run, tollgate

MODEL = "house-model"
WRONG, RIGHT = ("30", "60"), ("2.5", "10.125")


def billing(machine: Machine, *arguments: str) -> dict[str, Any]:
    done = tollgate(machine.home, "billing", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def asked(machine: Machine, path: str, **body: Any) -> dict[str, Any]:
    answer = await machine.admin.post(f"/api/v1/billing/{path}", json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_corrected_price_agrees_with_the_bill(machine: Machine) -> None:
    costs = {"cost_per_1m_input": WRONG[0], "cost_per_1m_output": WRONG[1]}
    draft = {"provider": "openai", "name": MODEL, **costs}
    made = (await machine.admin.post("/api/v1/llm/models", json=draft)).json()
    rates = {"provider": "openai", "model": MODEL, "input": RIGHT[0], "output": RIGHT[1]}
    httpx2.post(f"{read_run(machine.home)['simulator_url']}/control/rates", json=rates).raise_for_status()
    key = await machine.make_key(monthly_budget=10)
    today = datetime.now(UTC).date()
    answers = [await machine.chat(key, model=f"openai/{MODEL}") for _ in range(3)]
    used = [answer.json()["usage"] for answer in answers]
    at_first = Decimal((await machine.summary_of(key, 3))["total_cost_usd"])

    options, days = ("--from", str(today), "--to", str(today)), {"first_day": str(today), "last_day": str(today)}
    bill = billing(machine, "reconcile", "openai", *options)
    assert [row["is_off"] for row in bill["rows"] if row["model"] == MODEL] == [True]
    corrected = {"cost_per_1m_input": RIGHT[0], "cost_per_1m_output": RIGHT[1], "starts_at": f"{today}T00:00:00Z"}
    assert (await machine.admin.post(f"/api/v1/llm/models/{made['id']}/prices", json=corrected)).status_code == 201

    async def billing_knows() -> bool:
        return bool((await asked(machine, "rerating", **days, model=MODEL))["calls"] == 3)

    await eventually(billing_knows)
    shown = billing(machine, "rerate", *options, "--model", MODEL)
    assert Decimal((await machine.summary(key))["total_cost_usd"]) == at_first, "nothing is written by showing"
    booked = billing(machine, "rerate", *options, "--model", MODEL, "--book", shown["id"])
    assert (booked["calls"], booked["difference_usd"]) == (3, shown["difference_usd"])
    assert await asked(machine, f"rerating/{shown['id']}/book", **days, model=MODEL) == booked, "booked once"

    expected = sum(
        Decimal(RIGHT[0]) * call["prompt_tokens"] + Decimal(RIGHT[1]) * call["completion_tokens"] for call in used
    )
    assert Decimal((await machine.summary(key))["total_cost_usd"]) == expected / 1_000_000
    lines = await machine.ledger(api_key_id=key.id)
    assert sum(Decimal(line["amount_usd"]) for line in lines) == 0
    bill = await asked(machine, "reconciliations/fetch", provider_type="openai", **days)
    assert [row["is_off"] for row in bill["rows"] if row["model"] == MODEL] == [False]

    total = expected / 1_000_000

    async def analytics_agrees() -> bool:
        return await shown_by_analytics(machine, key) == total

    await eventually(analytics_agrees)
    await told_again(machine)
    assert await shown_by_analytics(machine, key) == total
    assert Decimal((await machine.summary(key))["total_cost_usd"]) == total


async def shown_by_analytics(machine: Machine, key: Key) -> Decimal:
    """What a key's calls cost by its rollups."""
    wanted: dict[str, Any] = {"start_time": int(time.time()) - 172_800, "api_key_ids": key.id}
    answer = await machine.admin.get("/v1/organization/costs", params=wanted)
    told = json.loads(answer.text, parse_float=Decimal)
    amounts = [Decimal(one["amount"]["value"]) for bucket in told["data"] for one in bucket["results"]]
    return sum(amounts, Decimal(0))


async def told_again(machine: Machine) -> None:
    """Have billing and analytics hear everything again, from the first message of each stream."""
    bus = await connect(machine.run["nats_url"], "story")
    for row in (consumer_of("billing"), consumer_of("analytics"), consumer_of("analytics", "BILLING")):
        await bus.jetstream.delete_consumer(row.stream, row.service)
        await bus.jetstream.add_consumer(row.stream, consumer_config(row))

        async def has_read_all(row: Consumer = row) -> bool:
            info = await bus.jetstream.consumer_info(row.stream, row.service)
            return info.num_pending == 0 and info.num_ack_pending == 0

        await eventually(has_read_all)
    await bus.close()
