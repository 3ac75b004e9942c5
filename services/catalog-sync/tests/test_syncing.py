"""Syncs over real servers: what they write, what they tell, and what they leave alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from catalog_sync.flows.syncs import UnknownSource
from common.bus.connect import connect
from common.bus.provision import provision
from common.contracts.snapshots import AliasSnapshot, ModelSnapshot, ProviderSnapshot
from common.pricing import in_force
from common.providers.registry import PROVIDERS
from common.testing.clocks import FixedClock

MODELS = "/api/v1/llm/models"
LATER = datetime(2030, 1, 1, tzinfo=UTC)


async def counts(running: Any) -> dict[str, int]:
    """How much there is of what a sync writes."""
    tables = ("models", "prices", "outbox")
    found = {table: await running.database.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    found["told"] = (await running.bus.jetstream.stream_info("KV_catalog")).state.last_seq
    found["events"] = (await running.bus.jetstream.stream_info("CATALOG")).state.last_seq
    return found


async def price_of(running: Any, name: str, at: datetime = LATER) -> str | None:
    """The input rate that the gateways will price a call of a model with."""
    snapshot = ModelSnapshot.model_validate_json((await running.bucket())[f"model.{await running.model_id(name)}"])
    price = in_force([one.to_price() for one in snapshot.prices], at)
    return None if price is None else str(price.rates["input_tokens"])


async def test_the_packaged_catalog_is_there_when_the_service_is_ready(run: Any) -> None:
    async with run() as running:
        answer = await running.public.get(MODELS, params={"limit": 1000})
        assert int(answer.headers["x-total-count"]) >= 1000
        assert len({one["provider_name"] for one in answer.json()}) >= 9
        [gpt4] = [one for one in (await running.public.get(MODELS, params={"provider": "openai", "search": "gpt-4"})).json()
                  if one["name"] == "gpt-4"]  # fmt: skip
        assert (gpt4["cost_per_1m_input"], gpt4["cost_per_1m_output"]) == (30, 60)
        await running.settled()
        await _assert_the_bucket_equals_the_table(running)
        before = await counts(running)
        sync, outbox_id = await running.catalog.sync("packaged")
        assert (sync.added, sync.changed, sync.gone, sync.prices_added, outbox_id) == (0, 0, 0, 0, 0)
        assert await counts(running) == before, "a second sync writes nothing but its record"
    async with run() as running:
        await running.settled()
        assert await counts(running) == before, "nor does a restart"


async def _assert_the_bucket_equals_the_table(running: Any) -> None:
    bucket = await running.bucket()
    rows = await running.database.fetch(
        "SELECT id, provider_type, name, names, context_length, enabled FROM models WHERE provider_type = ANY($1)",
        list(PROVIDERS),
    )
    prices = await running.database.fetch("SELECT model_id, version FROM prices")
    assert len(bucket) == len(rows) + len(PROVIDERS) + 4, "models, providers and tiers"
    versions: dict[str, set[str]] = {}
    for price in prices:
        versions.setdefault(price["model_id"], set()).add(price["version"])
    for row in rows:
        told = ModelSnapshot.model_validate_json(bucket[f"model.{row['id']}"])
        assert (told.provider_type, told.name, list(told.names)) == (row["provider_type"], row["name"], row["names"])
        assert (told.context_length, told.enabled) == (row["context_length"], row["enabled"])
        assert {price.version for price in told.prices} == versions.get(row["id"], set())


async def test_models_that_cannot_be_called_are_listed_disabled_and_told_to_no_gateway(
    run: Any, small_source: Any, list_model: Any
) -> None:
    small_source.models = (list_model("voyage", "voyage-3", ("0.06", "0")), list_model("openai", "gpt-4", ("30", "60")))
    async with run(small_source) as running:
        everything = {one["name"]: one for one in (await running.public.get(MODELS)).json()}
        assert {name: one["enabled"] for name, one in everything.items()} == {"voyage-3": False, "gpt-4": True}
        assert everything["voyage-3"]["provider_name"] == "Voyage AI"
        enabled = await running.public.get(MODELS, params={"enabled": "true"})
        assert [one["name"] for one in enabled.json()] == ["gpt-4"]
        await running.admin.patch(f"{MODELS}/{everything['voyage-3']['id']}", json={"enabled": True})
        await running.settled()
        told = [key for key in await running.bucket() if key.startswith("model.")]
        assert told == [f"model.{everything['gpt-4']['id']}"]


async def test_every_provider_type_has_a_default_instance_and_some_wait_for_their_address(running: Any) -> None:
    await running.settled()
    told = [
        ProviderSnapshot.model_validate_json(b) for key, b in (await running.bucket()).items() if "provider." in key
    ]
    assert {one.name for one in told} == {one.provider_type for one in told} == set(PROVIDERS)
    assert sorted(one.name for one in told if not one.enabled) == ["azure", "custom", "vertex"]


async def test_a_changed_price_is_a_new_row_from_when_it_was_read(run: Any, small_source: Any, list_model: Any) -> None:
    clock = FixedClock(datetime(2026, 11, 21, tzinfo=UTC))
    async with run(small_source, clock) as running:
        small_source.models = (list_model("openai", "gpt-4", ("20", "40")), *small_source.models[1:])
        clock.advance(3600)
        sync, _ = await running.catalog.sync("packaged")
        assert (sync.added, sync.changed, sync.gone, sync.prices_added) == (0, 1, 0, 1)
        await running.settled()
        assert await price_of(running, "gpt-4") == "20"
        assert await price_of(running, "gpt-4", datetime(2026, 11, 21, 0, 30, tzinfo=UTC)) == "30"
        [new, old] = (await running.public.get(f"{MODELS}/{await running.model_id('gpt-4')}/prices")).json()["items"]
        assert (new["starts_at"], new["read_at"]) == ("2026-11-21T01:00:00Z", "2026-11-21T01:00:00Z")
        assert old["rates"]["input_tokens"] == "30"


async def test_a_sync_is_told_as_one_event_with_its_figures(run: Any, small_source: Any, list_model: Any) -> None:
    async with run(small_source) as running:
        subscription = await running.bus.jetstream.pull_subscribe("catalog.synced", stream="CATALOG")
        [first] = await subscription.fetch(1, timeout=5)
        assert b'"models_added":7,"models_changed":0,"models_gone":0,"prices_added":6' in first.data
        small_source.models = (*small_source.models[1:], list_model("groq", "new", ("1", "2"), ("3", "4")))
        assert (await running.admin.post(MODELS + "/sync")).status_code == 200
        [second] = await subscription.fetch(1, timeout=5)
        assert b'"models_added":1,"models_changed":0,"models_gone":1,"prices_added":2' in second.data


async def test_a_gone_model_is_still_served(run: Any, small_source: Any) -> None:
    async with run(small_source) as running:
        small_source.models = small_source.models[1:]
        sync, _ = await running.catalog.sync("packaged")
        again, _ = await running.catalog.sync("packaged")
        assert (sync.gone, again.gone) == (1, 0)
        await running.settled()
        assert await price_of(running, "gpt-4") == "30"


async def test_a_source_that_cannot_be_read_changes_nothing_and_says_so(run: Any, small_source: Any) -> None:
    async with run(small_source) as running:
        await running.settled()
        before = await counts(running)
        small_source.is_broken = True
        answer = await running.admin.post(MODELS + "/sync")
        assert answer.status_code == 200
        assert answer.json()["error"] == "it is not there"
        assert await counts(running) == before
        newest = (await running.public.get(MODELS + "/syncs")).json()["items"][0]
        assert newest == answer.json()
        assert (await running.admin.post(MODELS + "/sync?source=nobody")).status_code == 400
        with pytest.raises(UnknownSource, match="known: packaged"):
            await running.catalog.sync("nobody")


async def test_syncs_are_listed_page_by_page_the_latest_first(run: Any, small_source: Any) -> None:
    async with run(small_source) as running:
        for _ in range(3):
            await running.catalog.sync("packaged")
        seen, cursor = [], None
        while True:
            asked = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await running.public.get(MODELS + "/syncs", params=asked)).json()
            seen += [one["added"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [0, 0, 0, 7]
        assert (await running.public.get(MODELS + "/syncs?cursor=nonsense")).status_code == 400


async def test_two_replicas_that_sync_together_write_each_change_once(
    run: Any, small_source: Any, list_model: Any
) -> None:
    async with run(small_source) as one, run(small_source) as other:
        for number in range(1, 6):
            small_source.models = (list_model("openai", "gpt-4", (str(30 + number), "60")), *small_source.models[1:])
            both = await asyncio.gather(one.catalog.sync("packaged"), other.catalog.sync("packaged"))
            assert sorted(sync.prices_added for sync, _ in both) == [0, 1]
        await one.settled()
        found = await counts(one)
        assert (found["models"], found["prices"], found["events"]) == (7, 6 + 5, 7 + 1 + 5 * 3)


async def test_what_the_bucket_lost_is_told_again_at_the_next_start(run: Any, small_source: Any, nats_url: str) -> None:
    async with run(small_source) as running:
        body = {"alias": "mine", "deployments": [{"provider": "openai", "model": "gpt-4"}]}
        assert (await running.admin.post("/api/v1/aliases", json=body)).status_code == 201
        await running.settled()
        before = await running.bucket()
    await lose_the_bucket(nats_url)
    async with run(small_source) as running:
        await running.settled()
        assert await running.bucket() == before
        [alias] = [AliasSnapshot.model_validate_json(b) for key, b in before.items() if key.startswith("alias.")]
        assert alias.alias == "mine"


async def lose_the_bucket(nats_url: str) -> None:
    bus = await connect(nats_url, "tests")
    await bus.jetstream.delete_key_value("catalog")
    await bus.close()
    await provision(nats_url)


async def test_what_differs_in_the_bucket_is_put_right_while_running(running: Any) -> None:
    await running.settled()
    before = await running.bucket()
    store = await running.bus.jetstream.key_value("catalog")
    key = f"model.{await running.model_id('gpt-4')}"
    await store.put(key, b"{}")
    await store.put("model.unknown", b"{}")
    assert await running.catalog.republish(await running.bucket()) == 2
    await running.settled()
    assert await running.bucket() == before
    assert await running.catalog.republish(await running.bucket()) == 0


async def test_what_the_outbox_is_about_to_tell_is_not_told_twice(running: Any) -> None:
    await running.settled()
    await running.bus.jetstream.delete_key_value("catalog")
    assert await running.catalog.republish({}) > 0
    assert await running.catalog.republish({}) == 0


async def test_a_price_is_never_changed_or_removed(running: Any, database: Any) -> None:
    for statement in ("UPDATE prices SET source = 'x'", "DELETE FROM prices", "TRUNCATE prices"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await running.database.execute(statement)
    role = await asyncpg.connect(await database.service_url("catalog_sync"))
    try:
        for statement in ("UPDATE prices SET source = 'x'", "DELETE FROM prices", "DELETE FROM models"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await role.execute(statement)
    finally:
        await role.close()


async def test_the_service_is_not_ready_before_its_first_sync(run: Any, small_source: Any) -> None:
    small_source.is_broken = True
    starting = asyncio.create_task(_first_ready(run, small_source))
    await asyncio.sleep(2)
    assert not starting.done()
    small_source.is_broken = False
    ready, syncs = await asyncio.wait_for(starting, 30)
    assert ready == {"postgres": True, "nats": True, "sessions": True, "first_sync": True}
    assert [one["error"] for one in syncs][-1] == "it is not there"


async def _first_ready(run: Any, source: Any) -> tuple[dict[str, bool], list[dict[str, Any]]]:
    async with run(source) as running:
        ready = (await running.public.get("/readyz")).json()
        return ready, (await running.public.get(MODELS + "/syncs")).json()["items"]


async def test_what_syncs_changed_is_counted(running: Any) -> None:
    metrics = (await running.public.get("/metrics")).text
    assert 'tollgate_catalog_sync_syncs_total{end="completed",source="packaged"} 1.0' in metrics
    assert 'tollgate_catalog_sync_changes_total{kind="added"} 7.0' in metrics
