"""The stream told again from its beginning changes nothing in ledger and request log."""

from __future__ import annotations

from decimal import Decimal

from common.bus.connect import connect
from common.bus.provision import consumer_config
from common.contracts.topology import consumer_of
from machine import Machine, eventually, owed


async def test_redelivered_usage_is_billed_once(machine: Machine) -> None:
    key = await machine.make_key()
    answers = [await machine.chat(key) for _ in range(10)]
    before = await machine.summary_of(key, 10)
    entries = await machine.ledger(api_key_id=key.id)

    bus = await connect(machine.run["nats_url"], "story")
    for service in ("billing", "analytics"):
        # A durable made anew begins at the first message of the stream.
        await bus.jetstream.delete_consumer("USAGE", service)
        await bus.jetstream.add_consumer("USAGE", consumer_config(consumer_of(service)))

        async def has_read_all(service: str = service) -> bool:
            info = await bus.jetstream.consumer_info("USAGE", service)
            return info.num_pending == 0 and info.num_ack_pending == 0

        await eventually(has_read_all)
    await bus.close()

    assert await machine.summary(key) == before
    assert await machine.ledger(api_key_id=key.id) == entries
    assert Decimal(before["total_cost_usd"]) == owed(answers)
    logged = await machine.admin.get("/api/v1/analytics/requests", params={"api_key_id": key.id, "limit": 100})
    assert len(logged.json()["items"]) == 10
