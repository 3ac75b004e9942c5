"""`GET /api/costs/summary`: what one's own calls cost, as dashboards show it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from common.http.pages import JsonNumber
from fastapi import APIRouter, Query
from pydantic import BaseModel

from analytics.api.dependencies import Flows, Signed
from analytics.domain.rollups import DayCost, ModelCost

router = APIRouter(prefix="/api/costs", tags=["costs"])

_NOTHING = Decimal(0)


class CostOfModel(BaseModel):
    """One model of one provider."""

    model: str
    provider: str
    total_calls: int
    total_tokens: int
    total_cost: JsonNumber


class CostOfDay(BaseModel):
    """One UTC day."""

    date: date
    total_cost: JsonNumber
    call_count: int
    total_tokens: int


class CostSummary(BaseModel):
    """The sums, by model (dearest first) and by day (oldest first)."""

    total_cost: JsonNumber
    call_count: int
    average_cost_per_call: JsonNumber
    by_model: list[CostOfModel]
    by_date: list[CostOfDay]


@router.get("/summary")
async def get_summary(
    analytics: Flows,
    caller: Signed,
    days: Annotated[int, Query(ge=1, le=3_650, description="UTC days, with today")] = 30,
) -> CostSummary:
    """What the caller's own calls of the last days cost."""
    models, by_day = await analytics.costs(caller.user_id, days)
    total = sum((model.cost for model in models), _NOTHING)
    calls = sum(model.calls for model in models)
    return CostSummary(
        total_cost=total,
        call_count=calls,
        average_cost_per_call=total / calls if calls else _NOTHING,
        by_model=[_of_model(model) for model in models],
        by_date=[_of_day(day) for day in by_day],
    )


def _of_model(cost: ModelCost) -> CostOfModel:
    return CostOfModel(
        model=cost.model,
        provider=cost.provider,
        total_calls=cost.calls,
        total_tokens=cost.tokens,
        total_cost=cost.cost,
    )


def _of_day(cost: DayCost) -> CostOfDay:
    return CostOfDay(date=cost.day, total_cost=cost.cost, call_count=cost.calls, total_tokens=cost.tokens)
