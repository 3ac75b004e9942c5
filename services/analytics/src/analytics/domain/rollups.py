"""Rollups: what calls add up to an hour, by who made them and what answered. Pure and exact.

A row of the log that is taken away (an estimate, when the final comes) is taken off its rollup with the very figures
that were added for it, so that the rollups are the sums of the rows at every commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from common.contracts.usage import UsageRecorded

from analytics.domain.log import LoggedCall

_PRECISION = 60  # more digits than sums of costs can need, so that nothing here ever rounds
_NOTHING = Decimal(0)


class RollupKey(NamedTuple):
    """One rollup: an hour (its start, UTC) and what its calls have in common."""

    hour: datetime
    api_key_id: str | None
    user_id: str | None
    team_id: str | None
    provider_type: str
    model: str
    source: str
    operation: str


class Measures(NamedTuple):
    """What is summed; US dollars exact. Tokens count as OpenAI counts: input with cached, output with reasoning."""

    requests: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    cached: int = 0
    tracked: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    total_tokens: int = 0
    latency_ms: int = 0
    cost: Decimal = _NOTHING
    operator_cost: Decimal = _NOTHING


Counted = tuple[RollupKey, Measures]


def counted(logged: LoggedCall) -> Counted:
    """What one call adds to which rollup."""
    call = logged.call
    hour = logged.started_at.replace(minute=0, second=0, microsecond=0)
    who = call.api_key_id, call.user_id, call.team_id
    return RollupKey(hour, *who, call.provider_type, call.model, call.source, call.operation), _measures(call)


def roll(added: Iterable[Counted], removed: Iterable[Counted] = ()) -> dict[RollupKey, Measures]:
    """The differences that calls added and removed make to each rollup."""
    rollups: dict[RollupKey, Measures] = {}
    with localcontext() as context:
        context.prec = _PRECISION
        for key, measures in added:
            rollups[key] = _sum(rollups.get(key, Measures()), measures, 1)
        for key, measures in removed:
            rollups[key] = _sum(rollups.get(key, Measures()), measures, -1)
    return rollups


def _measures(call: UsageRecorded) -> Measures:
    used = call.usage.to_usage()
    return Measures(
        requests=1,
        completed=int(call.status == "completed"),
        failed=int(call.status == "failed"),
        cancelled=int(call.status == "cancelled"),
        cached=int(call.status == "cached"),
        tracked=int(call.status == "tracked"),
        input_tokens=used.prompt_tokens,
        cached_input_tokens=used.cached_input_tokens,
        output_tokens=used.completion_tokens,
        reasoning_tokens=used.reasoning_tokens,
        audio_input_tokens=used.audio_input_tokens,
        audio_output_tokens=used.audio_output_tokens,
        total_tokens=call.usage.total_tokens,
        latency_ms=call.latency_ms,
        cost=call.cost_usd.usd,
        operator_cost=call.operator_cost_usd.usd,
    )


def _sum(one: Measures, other: Measures, sign: int) -> Measures:
    pairs: Iterable[tuple[Any, Any]] = zip(one, other, strict=True)
    return Measures._make(a + sign * b for a, b in pairs)


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What one model of one provider was called, used and cost."""

    provider: str
    model: str
    calls: int
    tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class DayCost:
    """What one UTC day's calls used and cost."""

    day: date
    calls: int
    tokens: int
    cost: Decimal
