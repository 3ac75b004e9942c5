"""What a user or a team may use in all, over all its keys. None is no limit at all."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from common.money import Money

LIMITS = ("rate_limit", "token_limit", "max_concurrency", "monthly_budget")
"""The members that are limits, of keys, users and teams alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """Whoever has limits: requests and tokens a minute, calls at once, US dollars a UTC month."""

    rate_limit: int | None = None
    token_limit: int | None = None
    max_concurrency: int | None = None
    monthly_budget: Decimal | None = None

    @property
    def has_limits(self) -> bool:
        """Whether any of them is set."""
        return any(getattr(self, name) is not None for name in LIMITS)


def limits_of(limited: Limited) -> dict[str, Any]:
    """Its limits, as the members of a snapshot."""
    budget = limited.monthly_budget
    return {
        "rate_limit": limited.rate_limit,
        "token_limit": limited.token_limit,
        "max_concurrency": limited.max_concurrency,
        "monthly_budget": None if budget is None else Money(budget),
    }
