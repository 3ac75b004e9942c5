"""`/api/budgets`: what may be spent, of what, in which period, and how much of it is."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from common.http.pages import JsonNumber
from common.periods import PeriodKind
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from billing.api.dependencies import AnswersWhenTold, Copies, Flows, Signed, setter_of
from billing.domain.budgets import DEFAULT_THRESHOLDS, Mode, Scope, Standing
from billing.domain.counters import Span
from billing.flows.budgets import Wanted

router = APIRouter(prefix="/api/budgets", tags=["budgets"])

_MOST_USD = 9_000_000  # what Redis counts exactly in nano-USD
_NO_ZERO_BYTE = r"^[^\x00]*$"
_CENT = Decimal("0.01")

Threshold = Annotated[int, Field(ge=1, le=1_000)]
BudgetId = Annotated[str, Path(max_length=64, pattern=_NO_ZERO_BYTE)]


class SetBudget(BaseModel):
    """A budget to make, or to change: the one that the caller has for this scope and period.

    `limit` in US dollars; `zone` an IANA name, where days, weeks and months begin; `thresholds` in percent.
    """

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[Decimal, Field(ge=0, le=_MOST_USD, decimal_places=9)]
    period: PeriodKind = "monthly"
    scope: Scope = "user"
    scope_id: Annotated[str | None, Field(max_length=256, pattern=_NO_ZERO_BYTE)] = None
    mode: Mode = "hard"
    zone: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] = "UTC"
    thresholds: Annotated[list[Threshold], Field(max_length=20)] = Field(default_factory=lambda: [*DEFAULT_THRESHOLDS])


class BudgetItem(BaseModel):
    """A budget and how it stands, in US dollars. `reserved` is what running calls hold; null while that is not known.
    `resets_at` is null for a budget in total."""

    id: str
    scope: Scope
    scope_id: str | None
    limit: JsonNumber
    period: PeriodKind
    zone: str
    mode: Mode
    thresholds: list[int]
    owner_user_id: str | None
    spent: JsonNumber
    reserved: JsonNumber | None
    remaining: JsonNumber
    percentage: JsonNumber
    resets_at: datetime | None
    created_at: datetime
    updated_at: datetime


@router.get("")
async def list_budgets(billing: Flows, caller: Signed) -> list[BudgetItem]:
    """One's own budgets and those that limit nobody else; admins see all."""
    return [item_of(standing) for standing in await billing.budgets.visible(setter_of(caller))]


@router.post("", status_code=201, responses={200: {"model": BudgetItem, "description": "The budget was changed."}})
async def set_budget(
    body: SetBudget, billing: Flows, caller: Signed, known: Copies, told: AnswersWhenTold, response: Response
) -> BudgetItem:
    """Make a budget, or change the one of this scope and period. Calls that were made before count, too."""
    owner = known.owner_of(body.scope_id) if body.scope == "key" and body.scope_id else None
    thresholds = tuple(sorted(set(body.thresholds)))
    wanted = Wanted(body.scope, body.scope_id, Span(body.period, body.zone), body.mode, body.limit, thresholds)
    outcome = await billing.budgets.set(setter_of(caller), wanted, owner)
    await told.wait(outcome.outbox_id)
    if not outcome.is_created:
        response.status_code = 200
    return item_of(outcome.standing)


@router.get("/{budget_id}")
async def show_budget(budget_id: BudgetId, billing: Flows, caller: Signed) -> BudgetItem:
    """One budget."""
    return item_of(await billing.budgets.one(setter_of(caller), budget_id))


@router.delete("/{budget_id}", status_code=204)
async def end_budget(budget_id: BudgetId, billing: Flows, caller: Signed, told: AnswersWhenTold) -> None:
    """End a budget."""
    await told.wait(await billing.budgets.end(setter_of(caller), budget_id))


def item_of(standing: Standing) -> BudgetItem:
    """A budget as it is shown."""
    budget, target = standing.budget, standing.budget.target
    return BudgetItem(
        id=budget.id,
        scope=target.scope,
        scope_id=target.scope_id,
        limit=budget.limit,
        period=budget.span.kind,
        zone=budget.span.zone,
        mode=budget.mode,
        thresholds=list(budget.thresholds),
        owner_user_id=target.owner_user_id,
        spent=standing.spent,
        reserved=standing.reserved,
        remaining=standing.remaining,
        percentage=budget.percentage(standing.spent).quantize(_CENT),
        resets_at=standing.period.ends_at,
        created_at=budget.created_at,
        updated_at=budget.updated_at,
    )
