"""Events about money: thresholds of budgets that were reached, providers' bills that were held against the ledger, calls
that were priced again."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, NonNegativeInt

from common.contracts.envelope import Contract, type_of
from common.money import Money

BUDGET_THRESHOLD_REACHED = type_of("billing.budget.threshold")
BILL_RECONCILED = type_of("billing.reconciled")
CALLS_RERATED = type_of("billing.rerated")

MOST_RERATED = 200
"""Calls that one event tells of: well below what a message may hold."""


class BudgetThresholdReached(Contract):
    """What was spent of a budget has reached one of its thresholds; told once a budget, period and threshold."""

    budget_id: str
    """The budget."""
    owner_user_id: str | None
    """Who set it; null: an admin, for others."""
    scope: str
    """Whose calls count: `user:<id>`, `team:<id>`, `user:<id>/provider:<type>` …"""
    period: str
    """The period that it was reached in: `2026-11`, `2026-W47@Europe/Berlin`, `total`."""
    mode: Literal["hard", "soft"]
    """Whether calls that would pass the limit are refused."""
    percent: int = Field(ge=1)
    """The threshold, in percent of the limit."""
    limit_usd: Money
    """US dollars that may be spent in the period."""
    spent_usd: Money
    """US dollars that were, when the threshold was reached."""


class BillReconciled(Contract):
    """A provider's bill was held against what the ledger owes it."""

    reconciliation_id: str
    """The reconciliation."""
    provider_type: str
    """Whose bill it is."""
    first_day: date
    """The first UTC day that it bills."""
    last_day: date
    """The last one."""
    billed_usd: Money
    """US dollars that the provider bills."""
    booked_usd: Money
    """US dollars that the ledger owes for the same days."""
    drift_usd: Money
    """Their difference: positive where the provider bills more."""
    is_alarming: bool
    """Whether the drift is more than may be."""
    rows_off: NonNegativeInt
    """How many days of models differ."""
    is_accepted: bool
    """Whether the drift was booked as a correction."""


class CallRerated(Contract):
    """By how much a call costs more than before (negative: less)."""

    request_id: str
    """The call."""
    cost_change_usd: Money
    """US dollars that its caller owes beyond what stood booked."""
    operator_cost_change_usd: Money
    """US dollars that the operator bears beyond what stood booked."""


class CallsRerated(Contract):
    """Calls of the past were priced again, and the difference booked as corrections. A re-rating of many calls is told in
    several events; each of its calls stands in one of them."""

    rerating_id: str
    """The re-rating."""
    calls: tuple[CallRerated, ...] = Field(min_length=1, max_length=MOST_RERATED)
    """The calls that changed."""
