"""The kinds of members that several requests have: texts, counts, budgets, instants; and the limits of users and teams."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from common.http.pages import JsonNumber
from common.providers.auth import check_secret
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from keyvault.api.answers import Asked, without_nul

_MAX_COUNT = 2**31 - 1
_MAX_BUDGET_USD = 9_000_000  # what Redis can count exactly in nano-USD


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("should be an instant between the years 1 and 9999") from None


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(without_nul)]
Count = Annotated[int, Field(ge=1, le=_MAX_COUNT)]
Budget = Annotated[Decimal, Field(ge=0, le=_MAX_BUDGET_USD, decimal_places=9)]
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]


ApiKey = Annotated[str, Field(min_length=8, max_length=8192), AfterValidator(check_secret)]
"""A key with a provider."""


class GivenLimits(Asked):
    """Requests and tokens a minute, calls at once, US dollars a UTC month; null is no limit."""

    rate_limit: Count | None = None
    token_limit: Count | None = None
    max_concurrency: Count | None = None
    monthly_budget: Budget | None = None


class ShownLimits(BaseModel):
    """The same, as they are shown."""

    rate_limit: int | None
    token_limit: int | None
    max_concurrency: int | None
    monthly_budget: JsonNumber | None
