"""`POST /api/v1/billing/dry-run` and `GET /api/budgets/{id}/explain`: why a call would be let through or refused."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from common.budgets import Standing
from common.clock import rfc3339
from common.money import Money
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from billing.api.budgets import BudgetId, BudgetItem, item_of
from billing.api.dependencies import Flows, Signed, setter_of
from billing.flows.budgets import Explained
from billing.flows.dry_runs import Call, Outcome, Place, Reason

router = APIRouter(tags=["budgets"])

_MOST_TOKENS = 100_000_000
_NO_ZERO_BYTE = r"^[^\x00]*$"
Tokens = Annotated[int, Field(ge=0, le=_MOST_TOKENS)]


class AskedCall(BaseModel):
    """A call that might be made: by a key, or without one by oneself. Its size is that of `messages`, or
    `input_tokens`; without `max_tokens` the gateway's own output maximum counts."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1, max_length=256)]
    api_key_id: Annotated[str | None, Field(max_length=256, pattern=_NO_ZERO_BYTE)] = None
    messages: list[dict[str, Any]] = Field(default_factory=list)
    input_tokens: Tokens | None = None
    max_tokens: Annotated[int | None, Field(ge=1, le=_MOST_TOKENS)] = None
    n: Annotated[int, Field(ge=1, le=128)] = 1


class RuleItem(BaseModel):
    """A budget as the rule sees it. `budget_id` is null for the monthly one of a key's, user's or team's own record."""

    budget_id: str | None
    scope: str
    period: str
    mode: str
    limit_usd: Money
    spent_usd: Money
    reserved_usd: Money


class PlaceItem(BaseModel):
    """One deployment that the call may go to, and the most it can cost there."""

    provider_type: str
    model: str
    price_version: str
    input_tokens: int
    max_output_tokens: int
    most_usd: Money
    allowed: bool
    retry_may_help: bool
    rule: RuleItem | None
    budgets: list[RuleItem]


class Decision(BaseModel):
    """Whether the call would be let through now; by which rule it would be refused; what it can cost at most."""

    allowed: bool
    reason: Reason
    rule: RuleItem | None
    most_usd: Money | None
    deployments: list[PlaceItem]


class ThresholdItem(BaseModel):
    """A threshold, the amount that it means, and when it was reached in this period."""

    percent: int
    amount_usd: Money
    reached_at: datetime | None


class LargeCall(BaseModel):
    """One of the dearest calls that count."""

    request_id: str
    occurred_at: datetime
    cost_usd: Money


class Explanation(BaseModel):
    """Why a budget stands as it does: what it is made of, in which period, and what it would still let through."""

    budget: BudgetItem
    counter: str
    period: str
    starts_at: datetime | None
    ends_at: datetime | None
    settled_usd: Money
    other_usd: Money
    lets_through_usd: Money | None
    says: str
    thresholds: list[ThresholdItem]
    largest_calls: list[LargeCall]


@router.post("/api/v1/billing/dry-run")
async def dry_run(body: AskedCall, billing: Flows, caller: Signed) -> Decision:
    """Would this call be let through, by which rule, at what most cost. Nothing is called, held or counted."""
    size = len(json.dumps(body.messages, ensure_ascii=False).encode("utf-8", "replace")) if body.messages else 0
    call = Call(body.api_key_id, body.model, size, body.input_tokens, body.max_tokens, body.n)
    return _decision(await billing.dry_runs.decide(setter_of(caller), call))


@router.get("/api/budgets/{budget_id}/explain")
async def explain_budget(budget_id: BudgetId, billing: Flows, caller: Signed) -> Explanation:
    """What a budget's figure is made of, and what it would still let through."""
    return _explanation(await billing.budgets.explain(setter_of(caller), budget_id))


def _decision(outcome: Outcome) -> Decision:
    chosen = outcome.chosen
    return Decision(
        allowed=outcome.reason == "allowed",
        reason=outcome.reason,
        rule=_rule(chosen.rule) if chosen is not None and chosen.rule is not None else None,
        most_usd=Money.from_nano(chosen.most_nano) if chosen is not None else None,
        deployments=[_place(place) for place in outcome.places],
    )


def _place(place: Place) -> PlaceItem:
    return PlaceItem(
        provider_type=place.provider_type,
        model=place.model,
        price_version=place.price_version,
        input_tokens=place.input_tokens,
        max_output_tokens=place.output_tokens,
        most_usd=Money.from_nano(place.most_nano),
        allowed=place.is_allowed,
        retry_may_help=place.is_waiting,
        rule=_rule(place.rule) if place.rule is not None else None,
        budgets=[_rule(standing) for standing in place.standings],
    )


def _rule(standing: Standing) -> RuleItem:
    budget = standing.budget
    return RuleItem(
        budget_id=budget.id,
        scope=budget.scope,
        period=budget.kind,
        mode=budget.mode,
        limit_usd=Money.from_nano(budget.limit_nano),
        spent_usd=Money.from_nano(standing.spent_nano),
        reserved_usd=Money.from_nano(standing.held_nano),
    )


def _explanation(found: Explained) -> Explanation:
    standing, budget = found.standing, found.standing.budget
    lets_through = Money(standing.remaining) if budget.mode == "hard" else None
    return Explanation(
        budget=item_of(standing),
        counter=f"{budget.target.counter_scope}:{standing.period.name}",
        period=standing.period.name,
        starts_at=standing.period.starts_at,
        ends_at=standing.period.ends_at,
        settled_usd=Money(found.counted.settled),
        other_usd=Money(found.counted.other),
        lets_through_usd=lets_through,
        says=_sentence(found, lets_through),
        thresholds=[
            ThresholdItem(
                percent=percent, amount_usd=Money(budget.limit * percent / 100), reached_at=found.reached.get(percent)
            )
            for percent in budget.thresholds
        ],
        largest_calls=[
            LargeCall(request_id=call.request_id, occurred_at=call.occurred_at, cost_usd=Money(call.amount))
            for call in found.largest
        ],
    )


def _sentence(found: Explained, lets_through: Money | None) -> str:
    standing = found.standing
    until = f"until {rfc3339(standing.period.ends_at)}" if standing.period.ends_at else "for good"
    spent = f"{Money(standing.spent)} of {Money(standing.budget.limit)} US dollars are spent"
    if lets_through is None:
        return f"{spent}; the budget is soft: it tells, and refuses nothing"
    if not lets_through:
        return f"{spent}, the rest is held by running calls; calls that cost anything are refused {until}"
    return f"{spent}; a call is let through {until} while the most it can cost is at most {lets_through} US dollars"
