"""Statements: what each account came to in a month. Closed, they never change; what comes late stands in the next. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from billing.domain.charges import Month

GRACE = timedelta(days=3)
"""How long after its end a month is closed: calls that began in it, and their events, may still be on their way."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What an account came to in a month: its calls, corrections of these, and what came too late for months before."""

    month: Month
    account: str
    usage: Decimal
    corrections: Decimal
    late: Decimal
    total: Decimal
    lines: int
    closed_at: datetime


def stated_in(month: Month, closed: Month | None) -> Month:
    """The month whose statement a line of some month stands in: its own, or the first that is still open."""
    return month if closed is None or month > closed else closed.following()


def is_due(month: Month, now: datetime) -> bool:
    """Whether a month may be closed."""
    end = month.following()
    return now >= datetime(end.year, end.month, 1, tzinfo=UTC) + GRACE
