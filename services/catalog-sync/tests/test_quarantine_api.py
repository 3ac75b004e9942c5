"""What sources say over real servers: agreed on, held back, accepted, refused, pinned; and who reads them when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from catalog_sync.domain.listing import ListedModel
from catalog_sync.jobs import Schedule
from catalog_sync.sources import litellm
from common.contracts.snapshots import ModelSnapshot
from common.pricing import in_force
from common.testing.clocks import FixedClock
from gateway.mirrors.catalog import Catalog as Mirror

PATH = "/api/v1/llm/models"
START = datetime(2026, 11, 21, tzinfo=UTC)


async def rate(running: Any, name: str) -> float | None:
    model_id = await running.model_id(name)
    return (await running.public.get(f"{PATH}/{model_id}")).json()["cost_per_1m_input"]  # type: ignore[no-any-return]


async def quarantined(running: Any, **asked: Any) -> list[dict[str, Any]]:
    answer = await running.admin.get(f"{PATH}/quarantine", params=asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_a_price_that_waits_is_shown_accepted_once_and_told_to_the_gateways(
    run: Any, small_source: Any, make_source: Any, list_model: Any
) -> None:
    survey = make_source("litellm", "survey", list_model("openai", "gpt-4", ("20", "40")))
    clock = FixedClock(START)
    async with run(small_source, clock, others=[survey]) as running:
        clock.advance(60)
        synced = await running.admin.post(f"{PATH}/sync", params={"source": "litellm"})
        assert (synced.json()["held"], synced.json()["prices_added"]) == (1, 0)
        [item] = await quarantined(running)
        assert (item["reason"], item["source"], item["model_id"]) == (
            "unconfirmed",
            "litellm",
            await running.model_id("gpt-4"),
        )
        assert (item["proposed"]["rates"]["input_tokens"], item["present"]["rates"]["input_tokens"]) == ("20", "30")
        assert (await running.public.get(f"{PATH}/quarantine")).status_code == 401
        assert (await running.user.post(f"{PATH}/quarantine/{item['id']}/accept")).status_code == 403
        assert await rate(running, "gpt-4") == 30
        clock.advance(60)
        accepted = await running.admin.post(f"{PATH}/quarantine/{item['id']}/accept")
        assert (accepted.status_code, accepted.json()["state"], accepted.json()["decided_by"]) == (
            200,
            "accepted",
            "admin-1",
        )
        assert await rate(running, "gpt-4") == 20
        again = await running.admin.post(f"{PATH}/quarantine/{item['id']}/refuse")
        assert (again.status_code, again.json()["code"]) == (409, "already_decided")
        assert (await running.admin.post(f"{PATH}/quarantine/nothing/accept")).status_code == 404
        [new, old] = (await running.public.get(f"{PATH}/{item['model_id']}/prices")).json()["items"]
        assert (new["source"], new["starts_at"], old["source"]) == ("litellm", "2026-11-21T00:02:00Z", "packaged")
        assert await quarantined(running) == []
        assert [one["state"] for one in await quarantined(running, state="accepted")] == ["accepted"]


async def test_what_is_refused_is_not_asked_again_and_what_is_taken_back_waits_no_more(
    run: Any, small_source: Any, make_source: Any, list_model: Any
) -> None:
    survey = make_source("litellm", "survey", list_model("openai", "gpt-4", ("20", "40")))
    async with run(small_source, others=[survey]) as running:
        await running.catalog.sync("litellm")
        [item] = await quarantined(running)
        assert (await running.admin.post(f"{PATH}/quarantine/{item['id']}/refuse")).json()["state"] == "refused"
        survey.models = (list_model("openai", "gpt-4", ("21", "42")),)
        await running.catalog.sync("litellm")
        survey.models = (list_model("openai", "gpt-4", ("20", "40")),)
        await running.catalog.sync("litellm")
        assert await quarantined(running) == []
        assert {one["state"] for one in await quarantined(running, reason="unconfirmed", state="withdrawn")} == {
            "withdrawn"
        }
        assert await rate(running, "gpt-4") == 30


async def test_two_sources_that_agree_change_a_price_and_the_sync_shows_what_it_changed(
    run: Any, small_source: Any, make_source: Any, list_model: Any
) -> None:
    survey = make_source("litellm", "survey", list_model("openrouter", "openai/gpt-4", ("20", "40")))
    own = make_source(
        "openrouter", "own", list_model("openrouter", "openai/gpt-4", ("20.1", "40"), context_length=9000)
    )
    async with run(small_source, others=[survey, own]) as running:
        await running.catalog.sync("litellm")
        sync, _ = await running.catalog.sync("openrouter")
        detail = (await running.public.get(f"{PATH}/syncs/{sync.id}")).json()
        assert detail["changes"]["changed"] == [
            {"model": "openrouter/openai/gpt-4", "facts": [],
             "price": {"from": {"input_tokens": "30", "output_tokens": "60"},
                       "to": {"input_tokens": "20.1", "output_tokens": "40"}}}
        ]  # fmt: skip
        assert (await running.public.get(f"{PATH}/syncs/nothing")).status_code == 404
        assert await quarantined(running) == []


async def test_a_pinned_price_stays_through_syncs_and_a_restart_until_it_is_unpinned(
    run: Any, small_source: Any, list_model: Any
) -> None:
    clock = FixedClock(START)
    async with run(small_source, clock) as running:
        model_id = await running.model_id("gpt-4")
        clock.advance(10)
        body = {"cost_per_1m_input": 25, "cost_per_1m_output": 50, "cost_per_1m_cached_input": "2.5", "pinned": True}
        pinned = await running.admin.post(f"{PATH}/{model_id}/prices", json=body)
        assert (pinned.status_code, pinned.json()["source"]) == (201, "pinned"), pinned.text
        small_source.models = (list_model("openai", "gpt-4", ("28", "56")), *small_source.models[1:])
        clock.advance(10)
        await running.catalog.sync("packaged")
        assert await rate(running, "gpt-4") == 25
    async with run(small_source, clock) as running:
        assert await rate(running, "gpt-4") == 25
        clock.advance(10)
        assert (await running.admin.delete(f"{PATH}/{model_id}/pin")).status_code == 204
        assert await rate(running, "gpt-4") == 30
        assert (await running.admin.delete(f"{PATH}/{model_id}/pin")).status_code == 404
        clock.advance(10)
        await running.catalog.sync("packaged")
        assert await rate(running, "gpt-4") == 28


async def test_correcting_a_past_price_is_a_new_row_that_is_told(run: Any, small_source: Any) -> None:
    clock = FixedClock(START)
    async with run(small_source, clock) as running:
        model_id = await running.model_id("gpt-4")
        body = {"cost_per_1m_input": 29, "cost_per_1m_output": 58, "starts_at": "2026-11-01T00:00:00Z"}
        assert (await running.admin.post(f"{PATH}/{model_id}/prices", json=body)).status_code == 201
        await running.settled()
        told = ModelSnapshot.model_validate_json((await running.bucket())[f"model.{model_id}"])
        prices = [price.to_price() for price in told.prices]
        found = [in_force(prices, at) for at in (datetime(2026, 10, 31, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))]
        assert [price and price.rates["input_tokens"] for price in found] == [30, 29]
        message = await running.bus.jetstream.get_last_msg("CATALOG", "catalog.price.changed")
        assert b'"is_correction":true' in (message.data or b"")
        for wrong in ({**body, "cost_per_1m_input": -1}, {**body, "starts_at": "2026-11-01"}, {"pinned": True}):
            assert (await running.admin.post(f"{PATH}/{model_id}/prices", json=wrong)).status_code == 422
        assert (await running.user.post(f"{PATH}/{model_id}/prices", json=body)).status_code == 403


async def test_a_price_may_be_of_one_of_something(run: Any, small_source: Any) -> None:
    async with run(small_source, FixedClock(START)) as running:
        path = f"{PATH}/{await running.model_id('gpt-4')}/prices"
        body = {"cost_per_1m_input": 0, "cost_per_1m_output": 0, "units": {"rerank_searches": "0.002"}}
        assert (await running.admin.post(path, json=body)).status_code == 201
        await running.settled()
        told = ModelSnapshot.model_validate_json((await running.bucket())[f"model.{await running.model_id('gpt-4')}"])
        price = in_force([price.to_price() for price in told.prices], START)
        assert price is not None
        assert price.rates["rerank_searches"] == Decimal("0.002")
        for wrong in ({"rerank searches": 1}, {"images": -1}, {"cached_input_tokens": "0.000001"}):
            assert (await running.admin.post(path, json={**body, "units": wrong})).status_code == 422


async def test_news_that_most_models_are_gone_wait_for_a_person(run: Any, small_source: Any) -> None:
    async with run(small_source) as running:
        everything = small_source.models
        small_source.models = everything[:2]
        sync, _ = await running.catalog.sync("packaged")
        assert (sync.gone, sync.held) == (0, 1)
        [item] = await quarantined(running, reason="gone")
        assert (item["model_id"], len(item["proposed"]["models"])) == (None, 5)
        assert (await running.admin.post(f"{PATH}/quarantine/{item['id']}/accept")).status_code == 200
        assert await running.database.fetchval("SELECT count(*) FROM models WHERE gone_at IS NOT NULL") == 5
        small_source.models = everything
        assert (await running.catalog.sync("packaged"))[0].changed == 5


class Fed:
    """Source `litellm`, fed with a document that a test makes."""

    name = "litellm"
    standing = "survey"

    def __init__(self) -> None:
        self.body = b""

    async def read(self) -> tuple[ListedModel, ...]:
        return litellm.parse(self.body)


async def test_a_hostile_feed_leaves_the_catalog_unharmed_and_says_why(
    run: Any, make_source: Any, list_model: Any
) -> None:
    models = [list_model("openai", f"model-{number}", ("1", "2")) for number in range(40)]
    feed, packaged = Fed(), make_source("packaged", "vouched", *models)

    def written(rate: float, name: str = "model-{}") -> bytes:
        entry = {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": rate,
            "output_cost_per_token": 2 * rate,
        }
        return json.dumps({name.format(number): entry for number in range(40)}).encode()

    async with run(packaged, others=[feed]) as running:
        before = await running.database.fetch("SELECT * FROM prices ORDER BY id")
        said = {}
        for what, body in {
            "truncated": written(1e-6)[:-10],
            "a page": b"<html>busy</html>",
            "zeros": written(0.0),
            "ten times": written(1e-5),
            "other units": written(1e-3),
            "look-alikes": written(1e-6, "mоdel-{}"),
            "as it should be": written(1e-6),
        }.items():
            feed.body = body
            sync, _ = await running.catalog.sync("litellm")
            said[what] = sync.error or f"{sync.held} held, {sync.added} added, {sync.prices_added} prices"
            assert await running.database.fetch("SELECT * FROM prices ORDER BY id") == before, what
        assert said == {
            "truncated": "what it sent is not JSON (it may have been cut short)",
            "a page": "what it sent is not JSON (it looks like HTML)",
            "zeros": "40 held, 0 added, 0 prices",
            "ten times": "40 held, 0 added, 0 prices",
            "other units": "40 held, 0 added, 0 prices",
            "look-alikes": "only 0 of its entries are models that we can read",
            "as it should be": "0 held, 0 added, 0 prices",
        }
        assert await running.database.fetchval("SELECT count(*) FROM models") == 40
        assert await quarantined(running) == [], "what is not said any more waits no more"


async def test_a_source_is_read_by_one_of_the_replicas_when_it_is_due_and_a_failure_stops_no_other(
    run: Any, small_source: Any, make_source: Any, list_model: Any
) -> None:
    clock = FixedClock(START)
    survey, own = (
        make_source("litellm", "survey"),
        make_source("openrouter", "own", list_model("openrouter", "x", ("1", "2"))),
    )
    survey.is_broken = True
    async with (
        run(small_source, clock, others=[survey, own]) as one,
        run(small_source, clock, others=[survey, own]) as two,
    ):
        replicas = [Schedule(each.catalog, clock, 3600) for each in (one, two)]
        assert [await each.read_due() for each in replicas] == [[], []], "not at once"
        clock.advance(700)
        assert [await each.read_due() for each in replicas] == [["litellm", "openrouter"], []]
        clock.advance(3000)
        assert [await each.read_due() for each in replicas] == [[], []]
        clock.advance(1000)
        assert [await each.read_due() for each in reversed(replicas)] == [["litellm", "openrouter"], []]
        history = (await one.public.get(f"{PATH}/syncs")).json()["items"]
        assert {entry["source"]: entry["error"] for entry in history} == {
            "packaged": None, "litellm": "it is not there", "openrouter": None,
        }  # fmt: skip


async def test_the_gateways_mirror_equals_the_table_whatever_happened(
    run: Any, small_source: Any, make_source: Any, list_model: Any
) -> None:
    clock = FixedClock(START)
    survey = make_source("litellm", "survey", list_model("openai", "gpt-4", ("20", "40")))
    async with run(small_source, clock, others=[survey]) as running:
        model_id = await running.model_id("gpt-4")
        for number, act in enumerate(("sync", "pin", "sync", "unpin", "correct", "accept", "gone", "fail")):
            clock.advance(60)
            if act in ("sync", "fail", "gone"):
                small_source.is_broken = act == "fail"
                small_source.models = (
                    list_model("openai", "gpt-4", (str(30 + number), "60")),
                    *small_source.models[1:],
                )
                await running.catalog.sync("packaged")
                await running.catalog.sync("litellm")
            elif act == "accept":
                for item in await quarantined(running):
                    await running.admin.post(f"{PATH}/quarantine/{item['id']}/accept")
            elif act == "unpin":
                await running.admin.delete(f"{PATH}/{model_id}/pin")
            else:
                body = {"cost_per_1m_input": 31 + number, "cost_per_1m_output": 60, "pinned": act == "pin"}
                at = (START + timedelta(seconds=number)).isoformat()
                await running.admin.post(f"{PATH}/{model_id}/prices", json={**body, "starts_at": at})
            await running.settled()
            await _assert_the_mirror_equals_the_table(running, clock.now())


async def _assert_the_mirror_equals_the_table(running: Any, now: datetime) -> None:
    mirror = Mirror()
    for key, body in (await running.bucket()).items():
        mirror.apply(key, body)
    statement = (
        "SELECT DISTINCT ON (m.id) m.provider_type, m.name, r.version, r.rates FROM models m LEFT JOIN prices r"
        " ON r.model_id = m.id AND r.starts_at <= $1 ORDER BY m.id, r.starts_at DESC NULLS LAST, r.id DESC"
    )
    for at in (now, now - timedelta(seconds=90), START + timedelta(seconds=5)):
        for row in await running.database.fetch(statement, at):
            model = mirror.model(row["provider_type"], row["name"])
            assert model is not None
            price = model.price_at(at)
            assert price.version == (row["version"] or "fallback")
            rates = row["rates"] and json.loads(row["rates"])
            assert rates is None or dict(price.rates) == {name: Decimal(rate) for name, rate in rates.items()}
