"""What billing tells: events about money, and the snapshots of budgets."""

from __future__ import annotations

from datetime import datetime

from common.contracts.billing import BUDGET_THRESHOLD_REACHED, BudgetThresholdReached
from common.contracts.topology import BUDGETS_BUCKET
from common.ids import derived_id
from common.money import Money
from common.postgres.outbox import Message, event, removal, snapshot

from billing.domain.budgets import Budget
from billing.store.totals import Total

SOURCE = "/billing"


def budget_set(budget: Budget) -> Message:
    """A budget is there, or differs."""
    return snapshot(BUDGETS_BUCKET.name, budget.id, budget.snapshot())


def budget_ended(budget_id: str) -> Message:
    """A budget is no more."""
    return removal(BUDGETS_BUCKET.name, budget_id)


def threshold_reached(budget: Budget, total: Total, percent: int, at: datetime) -> Message:
    """A budget's threshold was reached in a period."""
    told = BudgetThresholdReached(
        budget_id=budget.id,
        owner_user_id=budget.target.owner_user_id,
        scope=budget.target.counter_scope,
        period=total.counter.period,
        mode=budget.mode,
        percent=percent,
        limit_usd=Money(budget.limit),
        spent_usd=Money(total.counted.total),
    )
    event_id = derived_id("threshold", budget.id, total.counter.period, str(percent))
    return event("billing.budget.threshold", BUDGET_THRESHOLD_REACHED, event_id, at, SOURCE, told)
