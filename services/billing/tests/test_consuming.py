"""The running service and the bus: redelivery, poison, names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest_asyncio
from billing.consumers import usage_handler
from common.bus.consume import BatchConsumer, ConsumerMetrics, Received, start_broker
from common.contracts.snapshots import KeySnapshot
from common.contracts.topology import consumer_of
from faststream.nats import NatsBroker
from prometheus_client import CollectorRegistry

MakeEvent = Callable[..., Any]
Eventually = Callable[..., Awaitable[Any]]


async def booked(service: Any) -> int:
    items = (await service.get("/api/v1/billing/summary"))["items"]
    return sum(item["total_requests"] for item in items)


async def drained(service: Any) -> bool:
    found = await service.bus.jetstream.consumer_info("USAGE", "billing")
    return found.num_pending == 0 and found.num_ack_pending == 0


async def test_published_usage_is_booked_and_acknowledged(
    service: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    await service.publish(*(usage_event(cost="0.001") for _ in range(50)))
    await eventually(lambda: drained(service))
    [item] = (await service.get("/api/v1/billing/summary"))["items"]
    assert (item["total_requests"], item["total_cost_usd"]) == (50, "0.05")


async def test_a_poison_event_goes_whole_to_the_dlq_and_the_rest_of_its_batch_is_booked(
    service: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    fine = [usage_event() for _ in range(20)]
    await service.publish(*fine[:10])
    await service.publish_raw("usage.recorded.openai.key-1", b'{"data": "nonsense"}', "poison-1")
    await service.publish(usage_event("r", period="someday"))
    await service.publish(*fine[10:])
    await eventually(lambda: drained(service))
    assert await booked(service) == 20
    assert (await service.bus.jetstream.stream_info("DLQ")).state.messages == 2
    letter = await service.bus.jetstream.get_msg("DLQ", 1)
    assert letter.data == b'{"data": "nonsense"}'
    assert letter.headers["Tollgate-Subject"] == "usage.recorded.openai.key-1"


async def test_refusals_on_the_same_stream_are_not_billings_business(
    service: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    await service.publish_raw("usage.rejected.invalid_api_key", b"{}", "refused-1")
    await service.publish(usage_event())
    await eventually(lambda: drained(service))
    assert (await booked(service), (await service.bus.jetstream.stream_info("DLQ")).state.messages) == (1, 0)


@pytest_asyncio.fixture
async def consumer(journeys: Any, nats_url: str) -> Any:
    """Starts a consumer with a handler of the test's own around billing's."""
    broker = NatsBroker(nats_url)

    async def start(handle: Callable[[Sequence[Received]], Awaitable[None]]) -> None:
        metrics = ConsumerMetrics(CollectorRegistry())
        BatchConsumer(consumer_of("billing"), handle, metrics, journeys.bus).subscribe(broker)
        await start_broker(broker)

    yield start
    await broker.stop()


async def test_a_batch_that_was_committed_but_not_acknowledged_changes_nothing_when_it_comes_again(
    journeys: Any, consumer: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    handle, deliveries = usage_handler(journeys.billing), list[int]()

    async def dies_after_the_first_commit(batch: Sequence[Received]) -> None:
        await handle(batch)
        deliveries.extend(received.sequence for received in batch)
        if len(deliveries) == len(batch):
            raise ConnectionError("killed before the acknowledgement")

    events = [usage_event(cost="0.001") for _ in range(30)]
    for event in events:
        await journeys.bus.jetstream.publish("usage.recorded.openai.key-1", event.model_dump_json().encode())
    await consumer(dies_after_the_first_commit)

    async def acknowledged() -> bool:
        found = await journeys.billing.admission.backlog()
        return bool(found.is_empty)

    await eventually(acknowledged)
    assert len(deliveries) > len(events), "nothing was delivered twice: the test shows nothing"
    total = await journeys.pool.fetchval("SELECT total_cost FROM monthly_usage")
    assert str(total) == "0.030"


async def test_a_database_outage_loses_and_doubles_nothing(
    journeys: Any, consumer: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    handle, failures = usage_handler(journeys.billing), [ConnectionError(), TimeoutError(), OSError()]

    async def flaky(batch: Sequence[Received]) -> None:
        if failures:
            raise failures.pop()
        await handle(batch)

    for _ in range(30):
        event = usage_event(cost="0.001")
        await journeys.bus.jetstream.publish("usage.recorded.openai.key-1", event.model_dump_json().encode())
    await consumer(flaky)
    await eventually(lambda: journeys.pool.fetchval("SELECT sum(total_requests) = 30 FROM monthly_usage"))
    assert (await journeys.bus.jetstream.stream_info("DLQ")).state.messages == 0


async def test_a_key_is_told_by_its_last_name_even_after_it_is_gone(
    service: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    keys = await service.bus.jetstream.key_value("keys")
    for name in ("first", "second"):
        await keys.put("key-1", KeySnapshot(id="key-1", name=name, secrets=()).model_dump_json().encode())
    await service.publish(usage_event())

    async def shown() -> bool:
        items = (await service.get("/api/v1/billing/summary"))["items"]
        return [item["name"] for item in items] == ["second"]

    await eventually(shown)
    await keys.delete("key-1")
    await asyncio.sleep(0.2)
    assert await shown()
