"""Answers of the public list that are kept: given back while they hold, never afterwards, never without Redis."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
from catalog_sync.store.kept_lists import KeptLists
from common.servers.ports import free_port
from common.testing.clocks import FixedClock

PATH = "/api/v1/llm/models"


async def shown(running: Any, **asked: Any) -> list[str]:
    return [one["display_name"] for one in (await running.public.get(PATH, params=asked)).json()]


async def test_a_list_is_kept_for_five_minutes_and_dropped_at_once_on_change(
    run: Any, small_source: Any, redis_url: str
) -> None:
    async with run(small_source, cache=redis_url) as running:
        first = await running.public.get(PATH, params={"search": "gpt-4o"})
        await running.database.execute("UPDATE models SET display_name = 'changed behind our back'")
        kept = await running.public.get(PATH, params={"search": "gpt-4o"})
        assert kept.text == first.text
        assert {name: kept.headers[name] for name in ("etag", "x-total-count", "link")} == {
            name: first.headers[name] for name in ("etag", "x-total-count", "link")
        }
        client = redis.from_url(redis_url)
        [key] = await client.keys("catalog:list:*")
        assert 290 <= await client.ttl(key) <= 300
        await client.aclose()
        model_id = await running.model_id("gpt-4")
        assert (await running.admin.patch(f"{PATH}/{model_id}", json={"enabled": False})).status_code == 200
        assert await shown(running, search="gpt-4o") == ["changed behind our back"]


async def test_a_price_that_was_written_down_ahead_changes_the_list_when_it_starts(
    run: Any, small_source: Any, list_model: Any, redis_url: str
) -> None:
    clock = FixedClock(datetime(2025, 12, 31, 23, 59, 30, tzinfo=UTC))
    small_source.models = (list_model("openai", "gpt-4", ("30", "60"), ("20", "40")),)
    async with run(small_source, clock, cache=redis_url) as running:
        assert [one["cost_per_1m_input"] for one in (await running.public.get(PATH)).json()] == [30]
        clock.advance(60)
        assert [one["cost_per_1m_input"] for one in (await running.public.get(PATH)).json()] == [20]


async def test_the_list_is_answered_while_the_cache_is_away(run: Any, small_source: Any) -> None:
    async with run(small_source, cache=f"redis://127.0.0.1:{free_port()}") as running:
        assert len(await shown(running)) == 7
        assert len(await shown(running)) == 7


async def test_strangers_fill_no_more_than_the_slots_and_one_question_gets_no_others_answer(redis_url: str) -> None:
    kept = KeptLists.at(redis_url)
    for number in range(1200):
        await kept.keep(f"question {number}", "1", b"answer %d" % number)
    client = redis.from_url(redis_url)
    assert await client.dbsize() <= 512
    await client.aclose()
    found = [await kept.find(f"question {number}", "1") for number in range(1200)]
    assert all(answer in (None, b"answer %d" % number) for number, answer in enumerate(found))
    assert found[1199] == b"answer 1199"
    assert await kept.find("question 1199", "2") is None
    await kept.keep("large", "1", b"x" * ((1 << 20) + 1))
    assert await kept.find("large", "1") is None
    await kept.close()
