import asyncio

from common.bus.connect import connect
from common.bus.consume import BatchConsumer, ConsumerMetrics
from common.bus.mirror import Mirror
from common.contracts.topology import consumer_of
from faststream.nats import NatsBroker
from prometheus_client import CollectorRegistry


async def test_probe(nats_url, redis_url, database):
    bus = await connect(nats_url, "t")
    got = {}
    m = Mirror(bus, "keys", lambda k, b: got.__setitem__(k, b))
    t = asyncio.create_task(m.run())
    await asyncio.wait_for(m.ready.wait(), 5)
    kv = await bus.jetstream.key_value("keys")
    r = await kv.put("a", b"1")
    assert await m.wait_for(r, 1)
    assert got == {"a": b"1"}
    await kv.delete("a")
    await asyncio.sleep(0.2)
    assert got == {"a": None}
    seen = []

    async def handle(batch):
        if any(b.body == b"bad" for b in batch):
            raise ValueError("bad")
        seen.extend(b.body for b in batch)

    broker = NatsBroker(nats_url)
    c = BatchConsumer(consumer_of("billing"), handle, ConsumerMetrics(CollectorRegistry()), bus)
    c.subscribe(broker)
    await broker.start()
    for x in (b"1", b'{"a":2}', b"bad", b"\xff"):
        await bus.jetstream.publish("usage.recorded.openai.k", x, headers={"Nats-Msg-Id": x.hex()})
    await asyncio.sleep(1)
    assert sorted(seen) == sorted([b"1", b'{"a":2}', b"\xff"])
    info = await bus.jetstream.stream_info("DLQ")
    assert info.state.messages == 1
    ci = await bus.jetstream.consumer_info("USAGE", "billing")
    assert ci.num_ack_pending == 0 and ci.num_pending == 0
    await broker.stop()
    t.cancel()
    await bus.close()
