"""No gap between the stream and the books stays unseen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from common.contracts.envelope import event_headers

MakeEvent = Callable[..., Any]
Eventually = Callable[..., Awaitable[Any]]


async def acknowledge_all(journeys: Any) -> None:
    """As a consumer that acknowledges, whatever it has done with what it was given."""
    puller = await journeys.bus.jetstream.pull_subscribe_bind(durable="billing", stream="USAGE")
    while not (await journeys.billing.admission.backlog()).is_empty:
        for message in await puller.fetch(10, 2):
            await message.ack_sync()


async def publish(journeys: Any, *events: Any) -> None:
    for event in events:
        body = event.model_dump_json().encode()
        await journeys.bus.jetstream.publish("usage.recorded.openai.k", body, headers=event_headers(event.id))


async def test_what_was_acknowledged_and_not_booked_is_found_and_forgotten_once_it_is_booked(
    journeys: Any, usage_event: MakeEvent
) -> None:
    events = [usage_event() for _ in range(5)]
    await publish(journeys, *events)
    assert await journeys.billing.gap_audit.look() == 0, "what is not acknowledged yet is not missing"
    await journeys.book([*events[:2], *events[3:]])
    await acknowledge_all(journeys)
    assert await journeys.billing.gap_audit.look() == 1
    assert await journeys.pool.fetchval("SELECT sequence FROM stream_gaps") == 3
    assert await journeys.billing.gap_audit.look() == 1
    await journeys.book([events[2]])
    assert await journeys.billing.gap_audit.look() == 0


async def test_dead_letters_repeats_and_refusals_are_no_gaps(journeys: Any, usage_event: MakeEvent) -> None:
    event = usage_event()
    await publish(journeys, event)
    publish_raw = journeys.bus.jetstream.publish
    await publish_raw(
        "usage.recorded.openai.k", event.model_dump_json().encode(), headers={"Nats-Msg-Id": f"replay/1/{event.id}"}
    )
    await publish_raw("usage.rejected.budget_exceeded", b"{}")
    await publish_raw("usage.recorded.openai.k", b"poison", headers={"Nats-Msg-Id": "poison"})
    await publish_raw("dlq.billing", b"poison", headers={"Tollgate-Sequence": "4"})
    await journeys.book([event])
    await acknowledge_all(journeys)
    assert await journeys.billing.gap_audit.look() == 0


async def test_the_running_service_measures_gaps(service: Any, usage_event: MakeEvent, eventually: Eventually) -> None:
    async def measured() -> bool:
        return (
            'tollgate_billing_audit_violations{rule="stream_is_booked"} 0.0'
            in (await service.client.get("/metrics")).text
        )

    await eventually(measured)
