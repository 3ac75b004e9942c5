"""Logging over a real Postgres: one row a request, rollups equal to the rows, whatever is delivered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from analytics.domain.log import RequestFilter
from common.contracts.envelope import Envelope
from common.contracts.usage import UsageRecorded
from common.testing.events import of_a_later_release
from common.testing.servers import TestDatabase

MakeEvent = Callable[..., Any]
EXAMPLES = Path(__file__).parents[3] / "libs/common/contracts/usage.recorded.v1"

_FROM_ROWS = (
    "SELECT date_trunc('hour', started_at, 'UTC') AS hour, api_key_id, user_id, team_id, provider_type, model, source,"
    " count(*) AS requests, count(*) FILTER (WHERE status = 'completed') AS completed,"
    " count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'cancelled') AS cancelled,"
    " count(*) FILTER (WHERE status = 'cached') AS cached, count(*) FILTER (WHERE status = 'tracked') AS tracked,"
    " sum(input_tokens + cached_input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + audio_input_tokens)"
    " AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens,"
    " sum(output_tokens + reasoning_tokens + audio_output_tokens) AS output_tokens,"
    " sum(reasoning_tokens) AS reasoning_tokens, sum(total_tokens) AS total_tokens, sum(latency_ms) AS latency_ms,"
    " sum(cost) AS cost, sum(operator_cost) AS operator_cost, operation,"
    " sum(audio_input_tokens) AS audio_input_tokens, sum(audio_output_tokens) AS audio_output_tokens"
    " FROM requests GROUP BY 1, 2, 3, 4, 5, 6, 7, operation"
)


async def rows_and_rollups(pool: Any) -> tuple[set[Any], set[Any]]:
    rows = {tuple(row) for row in await pool.fetch(_FROM_ROWS)}
    rollups = {tuple(row) for row in await pool.fetch("SELECT * FROM rollups_hourly WHERE requests <> 0")}
    return rows, rollups


def random_events(usage_event: MakeEvent, chance: random.Random, count: int) -> list[Any]:
    """Calls of all kinds; some told twice, estimated and final, differing in everything."""
    events: list[Any] = []
    for number in range(count):
        for kind in chance.choice([["final"], ["final"], ["estimated"], ["estimated", "final"]]):
            month, day = chance.choice([(9, 1), (11, 21), (11, 30), (12, 1)])
            events.append(
                usage_event(
                    f"request-{number}",
                    kind=kind,
                    tokens=tuple(chance.randrange(1000) for _ in range(8)),
                    api_key_id=chance.choice(["key-1", "key-2", None]),
                    user_id=chance.choice(["user-1", "user-2", None]),
                    team_id=chance.choice(["team-1", None]),
                    provider_type=chance.choice(["openai", "groq"]),
                    model=chance.choice(["gpt-4", "llama"]),
                    source=chance.choice(["api", "lab", "track"]),
                    status=chance.choice(["completed", "failed", "cancelled", "cached", "tracked"]),
                    cost_usd=f"{chance.randrange(100)}.{chance.randrange(10**12):012}",
                    operator_cost_usd=f"0.{chance.randrange(10**6):06}",
                    latency_ms=chance.randrange(10_000),
                    started_at=f"2026-{month:02}-{day:02}T{chance.randrange(24):02}:59:59.999Z",
                )
            )
    return events


@pytest.mark.parametrize("seed", range(3))
async def test_rollups_equal_the_rows_whatever_the_order_and_however_many_consumers(
    journeys: Any, usage_event: MakeEvent, seed: int
) -> None:
    chance = random.Random(seed)
    events = random_events(usage_event, chance, 400)
    deliveries = events * 3
    chance.shuffle(deliveries)
    batches = [deliveries[start : start + 70] for start in range(0, len(deliveries), 70)]

    async def consume() -> None:
        while batches:
            await journeys.log(batches.pop())

    await asyncio.gather(*(consume() for _ in range(6)))

    rows, rollups = await rows_and_rollups(journeys.pool)
    assert rows == rollups
    last = {event.data.request_id: event.data for event in sorted(events, key=lambda e: e.data.kind == "final")}
    kept = await journeys.pool.fetch("SELECT request_id, kind, cost, started_at FROM requests")
    assert {row["request_id"]: (row["kind"], row["cost"]) for row in kept} == {
        request: (call.kind, call.cost_usd.usd) for request, call in last.items()
    }


async def test_redelivered_usage_is_logged_and_counted_once(journeys: Any, usage_event: MakeEvent) -> None:
    event = usage_event("r")
    for batch in ([event], [event, event], [event]):
        await journeys.log(batch)
    assert await journeys.pool.fetchval("SELECT count(*) FROM requests") == 1
    assert await journeys.pool.fetchval("SELECT sum(requests) FROM rollups_hourly") == 1


@pytest.mark.parametrize("order", [("estimated", "final"), ("final", "estimated")])
async def test_the_final_stands_whichever_came_first(
    journeys: Any, usage_event: MakeEvent, order: tuple[str, str]
) -> None:
    told = {
        "estimated": usage_event(
            "r", kind="estimated", cost_usd="9", provider_type="groq", started_at="2026-10-31T23:59:59Z"
        ),
        "final": usage_event("r", cost_usd="2", started_at="2026-11-01T00:00:01Z"),
    }
    for kind in order:
        await journeys.log([told[kind]])
    [row] = await journeys.pool.fetch("SELECT kind, cost, provider_type FROM requests")
    assert tuple(row) == ("final", 2, "openai")
    rows, rollups = await rows_and_rollups(journeys.pool)
    assert rows == rollups
    assert len(rollups) == 1


async def test_estimate_and_final_logged_at_the_same_moment_leave_the_final(
    journeys: Any, usage_event: MakeEvent
) -> None:
    for number in range(20):
        await asyncio.gather(
            journeys.log([usage_event(f"r-{number}", kind="estimated", cost_usd="5")]),
            journeys.log([usage_event(f"r-{number}", cost_usd="2")]),
        )
    kinds = await journeys.pool.fetch("SELECT kind, count(*), sum(cost) FROM requests GROUP BY kind")
    assert [tuple(row) for row in kinds] == [("final", 20, 40)]
    rows, rollups = await rows_and_rollups(journeys.pool)
    assert rows == rollups


async def test_a_final_delivered_to_many_at_once_takes_its_estimates_place_once(
    journeys: Any, usage_event: MakeEvent
) -> None:
    await journeys.log([usage_event(f"r-{n}", kind="estimated", cost_usd="5") for n in range(100)])
    finals = [usage_event(f"r-{n}", cost_usd="2") for n in range(100)]
    await asyncio.gather(*(journeys.log(finals) for _ in range(8)))
    assert await journeys.pool.fetchval("SELECT sum(cost) FROM requests") == 200
    rows, rollups = await rows_and_rollups(journeys.pool)
    assert rows == rollups


async def test_every_example_of_the_contract_is_logged_as_it_is(journeys: Any) -> None:
    bodies = [path.read_bytes() for path in EXAMPLES.glob("example-*.json")]
    assert bodies
    await journeys.log_raw(bodies)
    for body in bodies:
        told = Envelope[UsageRecorded].model_validate_json(body).data
        assert (await journeys.analytics.request(told.request_id, None)).call == told


async def test_a_call_that_a_later_release_tells_more_of_is_logged_as_far_as_it_is_known(journeys: Any) -> None:
    told = Envelope[UsageRecorded].model_validate_json(
        (EXAMPLES / "example-failed-after-two-attempts.json").read_bytes()
    )
    await journeys.log_raw([of_a_later_release(told)])
    assert (await journeys.analytics.request(told.data.request_id, None)).call == told.data


async def test_a_row_that_a_later_release_has_written_is_shown_as_far_as_it_is_known(
    journeys: Any, usage_event: MakeEvent, database: TestDatabase
) -> None:
    event = usage_event("r")
    await journeys.log([event])
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("UPDATE analytics.requests SET price = price || '{\"of_a_later_release\": true}'")
    await owner.close()
    assert (await journeys.analytics.request("r", None)).call == event.data


async def test_a_batch_is_logged_whole_or_not_at_all(journeys: Any, usage_event: MakeEvent) -> None:
    good = usage_event("good").model_dump_json().encode()
    with pytest.raises(ValueError):
        await journeys.log_raw([good, b"{}"])
    huge = usage_event("huge", latency_ms=2**70).model_dump_json().encode()
    with pytest.raises(asyncpg.DataError):
        await journeys.log_raw([good, huge])
    assert await journeys.pool.fetchval("SELECT count(*) FROM requests") == 0
    assert await journeys.pool.fetchval("SELECT count(*) FROM request_ids") == 0


async def test_zero_bytes_in_other_peoples_text_do_not_keep_a_call_out_of_the_log(
    journeys: Any, usage_event: MakeEvent
) -> None:
    event = usage_event("r", requested_model="a\0b", tags={"path": "c:\\u0000", "zero\0": "\\\0"})
    await journeys.log([event])
    [found] = await journeys.analytics.requests(RequestFilter(), None, 10)
    assert found.call.requested_model == "a\ufffdb"
    assert found.call.tags == {"path": "c:\\u0000", "zero\ufffd": "\\\ufffd"}


async def test_a_call_comes_out_of_the_log_as_its_event_told_it(journeys: Any, usage_event: MakeEvent) -> None:
    usage = usage_event().data.usage.model_dump()
    event = usage_event(
        "r",
        tokens=(1, 2, 3, 4, 5, 6, 7, 8),
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        team_id="team-1",
        tier="trial",
        alias="my-gpt4",
        provider_id="p-1",
        credential_id="c-1",
        status="failed",
        error={"reason": "provider_error", "message": "it fell over"},
        raw_usage={"prompt_tokens": 10, "cost": 0.1, "details": {"cached": [1, None, True]}},
        cost_usd="0.0000000000000000001",
        operator_cost_usd="1",
        budgets=["key:key-1", "team:team-1"],
        ttft_ms=3,
        attempts=[
            {
                "provider": "openai",
                "model": "gpt-4",
                "status": "failed",
                "http_status": 500,
                "error": {"reason": "provider_error", "message": "it fell over"},
                "latency_ms": 3,
                "usage": usage | {"units": {"images": 2}},
                "cost_usd": "0.1",
                "unbilled_usd": "0.2",
            }
        ],
        cache="miss",
        dropped_params=["logit_bias"],
        decision={
            "bound_usd": "0.5",
            "budget_usd": "10",
            "spent_before_usd": "1.5",
            "rate_limit": 100,
            "rate_remaining": 99,
        },
        simulated=True,
        tags={"app": "mail", "env": "test"},
        content_ref="content/r",
    )
    await journeys.log([event])
    found = await journeys.analytics.request("r", None)
    assert found.call == event.data
    assert found.recorded_at == journeys.clock.now()


async def test_calls_of_months_without_a_partition_are_kept_and_move_when_it_is_made(
    journeys: Any, usage_event: MakeEvent
) -> None:
    times = ["2026-11-01T00:00:00Z", "2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z", "1999-01-01T00:00:00Z"]
    await journeys.log([usage_event(f"r-{at}", started_at=at) for at in times])
    before = await rows_and_rollups(journeys.pool)
    assert await journeys.analytics.prepare_months() == date(2027, 2, 1)
    assert await journeys.analytics.prepare_months() == date(2027, 2, 1)
    assert await rows_and_rollups(journeys.pool) == before
    places = await journeys.pool.fetch("SELECT tableoid::regclass::text AS place, count(*) FROM requests GROUP BY 1")
    assert {row["place"]: row["count"] for row in places} == {
        "requests_2026_11": 2,
        "requests_2026_12": 1,
        "requests_default": 1,
    }
    await journeys.log([usage_event("r-later", started_at="2027-02-28T00:00:00Z")])
    assert (await journeys.analytics.request("r-later", None)).started_at == datetime(2027, 2, 28, tzinfo=UTC)


async def test_replicas_may_prepare_months_together_while_calls_come_in(journeys: Any, usage_event: MakeEvent) -> None:
    for year in (2027, 2028, 2029):
        events = [usage_event(f"r-{year}-{n}", started_at=f"{year}-{1 + n % 4:02}-15T00:00:00Z") for n in range(300)]
        journeys.clock.advance((datetime(year, 1, 15, tzinfo=UTC) - journeys.clock.now()).total_seconds())
        await asyncio.gather(
            *(journeys.log(events[start : start + 10]) for start in range(0, 150, 10)),
            *(journeys.analytics.prepare_months() for _ in range(3)),
            *(journeys.log(events[start : start + 10]) for start in range(150, 300, 10)),
        )
    places = await journeys.pool.fetch("SELECT tableoid::regclass::text AS place, count(*) FROM requests GROUP BY 1")
    assert {row["place"]: row["count"] for row in places} == {
        f"requests_{year}_{month:02}": 75 for year in (2027, 2028, 2029) for month in (1, 2, 3, 4)
    }


async def test_the_service_may_neither_make_tables_nor_rewrite_its_log(journeys: Any, usage_event: MakeEvent) -> None:
    await journeys.log([usage_event("r")])
    for statement in (
        "CREATE TABLE mine (id int)",
        "UPDATE requests SET cost = 0",
        "TRUNCATE requests",
        "DELETE FROM request_ids",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await journeys.pool.execute(statement)
