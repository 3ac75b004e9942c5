"""What a call cost, as the books know it: a charge, its attempts, the month it counts in.

Thousands a second are made and changed, so they are msgspec's structs and tuples: several times as fast to make as
frozen dataclasses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from billing.domain.counters import Counter

State = Literal["estimated", "final"]

KEYLESS = "none"
"""Stands in an account's name where a call was made without a virtual key (a signed-in user's test)."""
UNBILLED = "operator:unbilled"
PRECISION = 60
"""Decimal digits that sums are made with: more than sums of costs can need, so that nothing ever rounds."""

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
NOTHING = Decimal(0)
_NOWHERE: Mapping[Counter, Decimal] = MappingProxyType({})
_UNUSED: Mapping[str, int] = MappingProxyType({})


class Month(NamedTuple):
    """A UTC calendar month."""

    year: int
    month: int

    @property
    def name(self) -> str:
        """`2026-11`"""
        return f"{self.year:04}-{self.month:02}"

    def following(self) -> Month:
        """The month after."""
        return Month(self.year + 1, 1) if self.month == 12 else Month(self.year, self.month + 1)


class Owner(NamedTuple):
    """Whose calls a monthly row counts: a virtual key and the user it belonged to."""

    api_key_id: str | None
    user_id: str | None


Post = tuple[str, Month]
"""Where an amount goes: an account, and the month it counts in."""


class Attempt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one deployment that was tried cost in US dollars: what the caller is charged (or what counts in budgets,
    where nobody is), and what is the operator's. `usage` holds the buckets that are not zero. What is left at its default
    is not stored."""

    provider_type: str
    model: str
    cost: Decimal
    operator_cost: Decimal = NOTHING
    usage: Mapping[str, int] = _UNUSED
    price_version: str | None = None
    service_tier: str | None = None


class Charge(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one request is known to have used and cost; the latest word that counts is what stands booked.

    `cost` and `operator_cost` are US dollars to be booked: zero where the call is not billable. `counted` is what counts
    in budgets; `budgets` are the counters that its event names, and `epoch` the one that its last hold was written in.
    `settled` says, once it stands, how much of it settlement has added to which of them. `quota` is the scope whose
    monthly quota the call used; None: it used none.
    Nobody owes us what is not `is_billable`: a call made elsewhere, or on the caller's own credential.
    """

    request_id: str
    event_id: UUID
    state: State
    owner: Owner
    team_id: str | None
    provider_type: str
    month: Month
    cost: Decimal
    operator_cost: Decimal
    input_tokens: int
    output_tokens: int
    occurred_at: datetime
    counted: Decimal = NOTHING
    attempts: tuple[Attempt, ...] = ()
    is_simulated: bool = False
    budgets: tuple[Counter, ...] = ()
    epoch: str | None = None
    settled: Mapping[Counter, Decimal] = _NOWHERE
    quota: str | None = None
    is_billable: bool = True

    @property
    def is_booked(self) -> bool:
        """Whether anybody owes anything for it."""
        return bool(self.cost or self.operator_cost)

    def position(self) -> dict[Post, Decimal]:
        """The amount that this charge puts on each account in its month; sums to zero."""
        amounts: dict[Post, Decimal] = {}
        if self.cost:
            amounts[f"customer:{self.owner.api_key_id or KEYLESS}", self.month] = self.cost
        if self.operator_cost:
            amounts[UNBILLED, self.month] = self.operator_cost
        if not amounts:
            return amounts
        for attempt in self.attempts:
            post = (f"provider:{attempt.provider_type}", self.month)
            amounts[post] = amounts.get(post, NOTHING) - attempt.cost - attempt.operator_cost
        return amounts


Change = tuple[Charge | None, Charge]
"""What stood booked for a request (None: nothing), and what stands now."""


def month_named(period: str) -> Month:
    """`2026-11` → that month; ValueError for anything else."""
    match = _MONTH.fullmatch(period)
    if match is None:
        raise ValueError("period is not a month like 2026-11")
    return Month(int(match[1]), int(match[2]))
