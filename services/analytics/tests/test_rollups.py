"""Which event of a request is kept, and how calls are counted, without any server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any

import pytest
from analytics.domain.log import LoggedCall, last_words, logged_call
from analytics.domain.rollups import Measures, RollupKey, counted, roll
from hypothesis import given
from hypothesis import strategies as st

MakeEvent = Callable[..., Any]


def test_a_call_is_counted_in_its_utc_hour_with_its_own_figures(usage_event: MakeEvent) -> None:
    event = usage_event(
        tokens=(1, 2, 4, 8, 16, 32, 64, 128),
        status="failed",
        started_at="2026-11-21T01:59:59.999+02:00",
        cost_usd="0.5",
        operator_cost_usd="0.25",
        latency_ms=7,
    )
    key, measures = counted(logged_call(event))
    hour = datetime(2026, 11, 20, 23, tzinfo=UTC)
    assert key == RollupKey(hour, "key-1", "user-1", None, "openai", "gpt-4", "api", "chat")
    assert measures == Measures(
        requests=1,
        failed=1,
        input_tokens=1 + 2 + 4 + 8 + 64,
        cached_input_tokens=2,
        output_tokens=16 + 32 + 128,
        reasoning_tokens=32,
        audio_input_tokens=64,
        audio_output_tokens=128,
        total_tokens=255,
        latency_ms=7,
        cost=Decimal("0.5"),
        operator_cost=Decimal("0.25"),
    )


@given(st.lists(st.decimals(min_value=0, max_value=10**9, places=19), min_size=1, max_size=20))
def test_adding_and_removing_are_exact_inverses(costs: list[Decimal]) -> None:
    key = RollupKey(datetime(2026, 11, 21, tzinfo=UTC), None, None, None, "openai", "gpt-4", "api", "chat")
    calls = [(key, Measures(requests=1, completed=1, cost=cost)) for cost in costs]
    with localcontext() as context:
        context.prec = 60
        assert roll(calls)[key].cost == sum(costs)
    assert roll(calls, calls)[key] == Measures()
    assert roll([*calls, *calls], calls) == roll(calls)


def test_of_a_request_its_final_is_kept_in_any_order(usage_event: MakeEvent) -> None:
    estimate = logged_call(usage_event("r", kind="estimated"))
    final = logged_call(usage_event("r"))
    other = logged_call(usage_event("s", kind="estimated"))
    for calls in ([estimate, final, other], [final, other, estimate, final], [other, estimate, estimate, final]):
        assert last_words(calls) == {"r": final, "s": other}


@pytest.mark.parametrize("started_at", ["yesterday", "2026-11-21T08:30:00", ""])
def test_a_call_that_started_at_no_instant_is_refused(usage_event: MakeEvent, started_at: str) -> None:
    with pytest.raises(ValueError):
        logged_call(usage_event(started_at=started_at))


def test_an_event_of_another_version_is_refused(usage_event: MakeEvent) -> None:
    with pytest.raises(ValueError, match="type"):
        logged_call(usage_event().model_copy(update={"type": "tollgate.usage.recorded.v2"}))


def test_times_are_kept_in_utc(usage_event: MakeEvent) -> None:
    call: LoggedCall = logged_call(usage_event(started_at="2026-11-21T01:00:00+02:00"))
    assert call.started_at.isoformat() == "2026-11-20T23:00:00+00:00"
