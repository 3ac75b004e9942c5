"""What billing tells: events about money, and the snapshots of budgets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from common.contracts.billing import (
    BILL_RECONCILED,
    BUDGET_THRESHOLD_REACHED,
    CALLS_RERATED,
    MOST_RERATED,
    BillReconciled,
    BudgetThresholdReached,
    CallRerated,
    CallsRerated,
)
from common.contracts.topology import BUDGETS_BUCKET
from common.ids import derived_id
from common.money import Money
from common.postgres import audit
from common.postgres.outbox import Message, event, removal, snapshot

from billing.domain.budgets import Budget
from billing.domain.charges import Change
from billing.store.reconciliations import Reconciliation
from billing.store.totals import Total

SOURCE = "/billing"

audited = partial(audit.audited, "billing")
"""The audit row of an act: actor, action, subject, when, and what else is known of it."""


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


def reconciled(found: Reconciliation, at: datetime) -> Message:
    """A bill was held against the ledger, or its drift accepted."""
    is_accepted = found.accepted_at is not None
    told = BillReconciled(
        reconciliation_id=found.id,
        provider_type=found.provider_type,
        first_day=found.first_day,
        last_day=found.last_day,
        billed_usd=Money(found.billed if found.billed is not None else found.booked),
        booked_usd=Money(found.booked),
        drift_usd=Money(found.drift),
        is_alarming=found.is_alarming,
        rows_off=found.rows_off,
        is_accepted=is_accepted,
    )
    event_id = derived_id("reconciled", found.id, "accepted" if is_accepted else "uploaded")
    return event("billing.reconciled", BILL_RECONCILED, event_id, at, SOURCE, told)


def rerated(rerating_id: str, changes: Sequence[Change], at: datetime) -> list[Message]:
    """Calls were priced again: what changed of each, a bounded number of calls an event."""
    calls = [
        CallRerated(
            request_id=after.request_id,
            cost_change_usd=Money(after.cost) - Money(before.cost),
            operator_cost_change_usd=Money(after.operator_cost) - Money(before.operator_cost),
        )
        for before, after in changes
        if before is not None
    ]
    told: list[Message] = []
    for start in range(0, len(calls), MOST_RERATED):
        some = tuple(calls[start : start + MOST_RERATED])
        event_id = derived_id("rerated", rerating_id, some[0].request_id)
        content = CallsRerated(rerating_id=rerating_id, calls=some)
        told.append(event("billing.rerated", CALLS_RERATED, event_id, at, SOURCE, content))
    return told
