"""Redis loses everything: nobody is admitted until the counters are rebuilt from the ledger, and then they are right."""

from __future__ import annotations

from datetime import UTC, datetime

import redis.asyncio as redis
from machine import Machine, eventually, owed


async def test_an_emptied_redis_spends_nothing_twice(machine: Machine) -> None:
    key = await machine.make_key(monthly_budget="5")
    answers = [await machine.chat(key) for _ in range(5)]
    await machine.summary_of(key, 5)
    client = redis.from_url(machine.run["redis_url"])
    await client.flushall()

    async def is_open() -> bool:
        return bool(await client.exists("epoch"))

    await eventually(is_open)
    month = datetime.now(UTC).strftime("%Y:%m")
    assert int(await client.get(f"cost:{key.id}:{month}")) == int(owed(answers) * 10**9)
    assert (await machine.chat(key)).status_code == 200
    await client.aclose()
