"""What NATS itself refuses each service: whatever it does not own, consume or follow, tried as its own user.

Each owner's subjects are tried by everybody else, so a stream, bucket or consumer that is added to the table of the bus
is tried, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from common.bus.connect import connect
from common.bus.mirror import Mirror
from common.contracts.privileges import PRIVILEGES, Privileges, privileges_of
from common.contracts.topology import BUCKETS, CONSUMERS, STREAMS
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig

from .users import SERVICES, GuardedNats, guarded_nats

WORDS = (
    ("billing", "usage.recorded.openai.key-1", "a usage event forged by billing"),
    ("analytics", "usage.rejected.budget", "a refusal forged by analytics"),
    ("billing", "$KV.keys.key-1", "a virtual key made by billing"),
    ("gateway", "$KV.keys.key-1", "a virtual key made by a gateway"),
    ("gateway", "$KV.sessions.key.a", "a signing key put in place by a gateway"),
    ("catalog-sync", "$KV.credentials.c1", "a credential pointed elsewhere by catalog-sync"),
    ("gateway", "$KV.catalog.model.x", "a price set by a gateway"),
    ("gateway", "$KV.budgets.b1", "a budget raised by a gateway"),
    ("gateway", "audit.recorded.keyvault", "another's act in the audit trail"),
    ("catalog-sync", "audit.recorded.billing", "another's act in the audit trail"),
    ("gateway", "$JS.API.CONSUMER.MSG.NEXT.USAGE.billing", "billing's events taken by a gateway"),
    ("analytics", "$JS.ACK.USAGE.billing.1.1.1.1.1", "billing's events acknowledged by analytics"),
    ("gateway", "$JS.API.STREAM.MSG.GET.USAGE", "other calls read by a gateway"),
    ("gateway", "$JS.API.STREAM.MSG.GET.CONTENT", "prompts read by a gateway"),
    ("billing", "$JS.API.CONSUMER.CREATE.CONTENT", "prompts read by billing"),
    ("keyvault", "$JS.API.DIRECT.GET.CONTENT.content.recorded.r1", "prompts read by keyvault"),
    ("billing", "$JS.API.CONSUMER.DELETE.USAGE.billing", "its own durable consumer ended by billing"),
    ("billing", "$JS.API.CONSUMER.DURABLE.CREATE.USAGE.billing", "its own durable consumer set back by billing"),
    ("billing", "$JS.API.CONSUMER.CREATE.USAGE.analytics", "a durable consumer made anew by billing"),
    ("analytics", "_INBOX.gateway.x.y", "an acknowledgement forged by analytics"),
)
HEARD = (
    ("catalog-sync", "credentials.>", "what keyvault tells of credentials"),
    ("catalog-sync", "$KV.keys.>", "virtual keys"),
    ("gateway", "usage.>", "other gateways' calls"),
    ("analytics", "content.>", "prompts, past the stream"),
    ("billing", "_INBOX.>", "answers to others"),
    ("gateway", "_INBOX.keyvault.>", "answers to keyvault"),
    ("gateway", "$JS.API.>", "what others ask of the server"),
    ("keyvault", "$SYS.>", "the server's own events"),
    ("analytics", ">", "everything"),
)
OF_THE_OPERATOR = (
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.CREATE.mine",
    "$JS.API.STREAM.CREATE.KV_mine",
    "$SYS.REQ.SERVER.PING",
    *(f"$JS.API.STREAM.{verb}.{row.name}" for row in STREAMS for verb in ("UPDATE", "DELETE", "PURGE", "MSG.DELETE")),
    *(f"$JS.API.STREAM.{verb}.KV_{row.name}" for row in BUCKETS for verb in ("UPDATE", "DELETE", "PURGE")),
)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedNats]:
    """A NATS of this file's own."""
    with guarded_nats(tmp_path_factory.mktemp("guarded")) as server:
        yield server


def owned_by_others(row: Privileges) -> set[str]:
    """A subject of every stream, bucket and consumer that is not a service's own."""
    found = {
        subject.replace(">", "x.y")
        for stream in STREAMS
        if stream.owner in SERVICES and stream.owner != row.service
        for subject in stream.subjects
    }
    for bucket in BUCKETS:
        if bucket.owner != row.service:
            found |= {f"$KV.{bucket.name}.x", f"$JS.API.STREAM.MSG.GET.KV_{bucket.name}"}
        if bucket not in row.reads_buckets:
            found |= {f"$JS.API.CONSUMER.CREATE.KV_{bucket.name}", f"$JS.API.CONSUMER.CREATE.KV_{bucket.name}.a.b"}
    for consumer in CONSUMERS:
        if consumer.service != row.service:
            place = f"{consumer.stream}.{consumer.service}"
            found |= {f"$JS.API.CONSUMER.MSG.NEXT.{place}", f"$JS.ACK.{place}.1.2.3.4.5", f"$JS.ACK._.h.{place}.1.2"}
            found |= {f"dlq.{consumer.service}", f"$JS.API.CONSUMER.DURABLE.CREATE.{place}"}
    return found


@pytest.mark.parametrize("row", PRIVILEGES, ids=lambda row: row.service)
async def test_nobody_tells_takes_or_changes_what_is_anothers(nats: GuardedNats, row: Privileges) -> None:
    tried = owned_by_others(row)
    assert len(tried) > 25
    assert await nats.refused(row.service, tried) == tried


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_but_the_operator_changes_streams(nats: GuardedNats, service: str) -> None:
    tried = set(OF_THE_OPERATOR)
    assert await nats.refused(service, tried) == tried


@pytest.mark.parametrize(("service", "subject", "what"), WORDS, ids=[what for _, _, what in WORDS])
async def test_it_is_refused(nats: GuardedNats, service: str, subject: str, what: str) -> None:
    assert await nats.refused(service, [subject]) == {subject}, what


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_hears_what_is_not_addressed_to_it(nats: GuardedNats, service: str) -> None:
    everywhere = {subject for _, subject, _ in HEARD if subject != f"_INBOX.{service}.>"}
    assert await nats.refused(service, (), everywhere) == everywhere


async def test_a_snapshot_cannot_be_delivered_into_anothers_bucket(nats: GuardedNats) -> None:
    """A consumer is asked for with a subject to deliver to, which no permission bears on: the server must not store it."""
    async with nats.as_service("catalog-sync") as bus, nats.as_operator() as operator:
        store = await bus.jetstream.key_value("catalog")
        for target in ("$KV.keys.forged", "keys.forged"):
            config = ConsumerConfig(deliver_subject=target, ack_policy=AckPolicy.NONE)
            await bus.jetstream.add_consumer("KV_catalog", config)
        for number in range(3):
            await store.put(f"forged-{number}", b"{}")
        await asyncio.sleep(0.3)
        for stream in ("KV_keys", "KEYS"):
            assert (await operator.jetstream.stream_info(stream)).state.messages == 0


async def test_a_wrong_password_and_no_login_are_refused(nats: GuardedNats) -> None:
    for url in (f"nats://billing:wrong@127.0.0.1:{nats.port}", f"nats://127.0.0.1:{nats.port}"):
        with pytest.raises((NatsError, TimeoutError, OSError)):
            async with asyncio.timeout(0.5):
                await connect(url, "billing")


@pytest.mark.parametrize("row", PRIVILEGES, ids=lambda row: row.service)
async def test_each_follows_its_buckets_and_keeps_its_own(nats: GuardedNats, row: Privileges) -> None:
    async with nats.as_service(row.service) as bus, nats.as_operator() as operator:
        for bucket in BUCKETS:
            if bucket.owner == row.service:
                mine = await bus.jetstream.key_value(bucket.name)
                await mine.put("mine", b"{}")
                assert (await mine.get("mine")).value == b"{}"
                await mine.delete("mine")
        for bucket in row.reads_buckets:
            seen: dict[str, bytes | None] = {}
            mirror = Mirror(bus, bucket.name, seen.__setitem__)
            following = asyncio.create_task(mirror.run())
            async with asyncio.timeout(5):
                await mirror.ready.wait()
                store = await operator.jetstream.key_value(bucket.name)
                assert await mirror.wait_for(await store.put("seen", b"{}"), 5)
            assert seen["seen"] == b"{}"
            following.cancel()


async def test_a_consumer_gets_its_events_and_acknowledges_them(nats: GuardedNats) -> None:
    async with nats.as_service("gateway") as gateway:
        await gateway.jetstream.publish("usage.recorded.openai.none", b"{}")
    for service in ("billing", "analytics", "keyvault", "catalog-sync"):
        async with nats.as_service(service) as bus:
            puller = await bus.jetstream.pull_subscribe_bind(consumer=service, stream="USAGE")
            [event] = await puller.fetch(1, 5)
            await event.ack_sync()
            with pytest.raises(NatsTimeoutError):
                await puller.fetch(1, 0.1)


def test_everybody_follows_sessions_and_only_who_holds_secrets_follows_credentials() -> None:
    readers = {bucket.name: {row.service for row in PRIVILEGES if bucket in row.reads_buckets} for bucket in BUCKETS}
    assert readers["sessions"] == set(SERVICES)
    assert readers["credentials"] == {"gateway", "catalog-sync", "keyvault"}
    assert privileges_of("gateway").tells == ()
