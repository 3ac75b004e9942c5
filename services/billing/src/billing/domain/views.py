"""What is shown of the books: rows as people ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.domain.charges import Month


@dataclass(frozen=True, slots=True)
class MonthlySummary:
    """What one key used and cost in one month; `name` is the last that the key was known by."""

    api_key_id: str | None
    name: str | None
    month: Month
    total_requests: int
    input_tokens: int
    output_tokens: int
    total_cost: Decimal


SummaryPosition = tuple[int, int, str]
"""Where a page of summaries ended: year, month, key (empty for calls without one)."""


@dataclass(frozen=True, slots=True)
class SummaryFilter:
    """Which monthly rows are asked for; None asks for all. `user_id` limits to one user's own."""

    api_key_id: str | None = None
    user_id: str | None = None
    year: int | None = None
    month: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One line of the ledger as it stands in the table."""

    id: int
    transaction_id: UUID
    account: str
    amount: Decimal
    kind: str
    request_id: str
    event_id: UUID
    month: Month
    occurred_at: datetime
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which lines are asked for; None asks for all. `user_id` limits to one user's own calls."""

    api_key_id: str | None = None
    user_id: str | None = None
    request_id: str | None = None
