"""What a usage event does to the books: pure, exact, and indifferent to the order in which events arrive.

A request is told of at most twice: `estimated` by whoever found it abandoned, `final` by its own gateway. JetStream may
deliver the two in either order, and each any number of times. What stands booked for a request is therefore a state:
none → estimated → final. The first event of a request is booked whole; a final after an estimate books the *difference*
between the two, account by account; everything else books nothing. So every order ends in the same sums.

Accounts: `customer:<key>` owes what its calls cost, `provider:<type>` is owed it; what nobody can be charged for is
`operator:unbilled`. A call on the caller's own credential is billed by its provider: it is counted, never booked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Literal, NamedTuple
from uuid import UUID

State = Literal["estimated", "final"]
EntryKind = Literal["usage", "correction"]

KEYLESS = "none"
"""Stands in an account's name where a call was made without a virtual key (a signed-in user's test)."""
UNBILLED = "operator:unbilled"

_PRECISION = 60  # more digits than sums of costs can need, so that nothing here ever rounds
_MONTH = re.compile(r"^(\d{4})-(0[1-9]|1[0-2])$")
_NOTHING = Decimal(0)


class Month(NamedTuple):
    """A UTC calendar month."""

    year: int
    month: int


class Owner(NamedTuple):
    """Whose calls a monthly row counts: a virtual key and the user it belonged to."""

    api_key_id: str | None
    user_id: str | None


Post = tuple[str, Month]
"""Where an amount goes: an account, and the month it counts in."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request is known to have used and cost; the latest word that counts is what stands booked.

    `cost` and `operator_cost` are US dollars to be booked: zero where the call is not billable.
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

    def position(self) -> dict[Post, Decimal]:
        """The amount that this charge puts on each account in its month; sums to zero."""
        amounts: dict[Post, Decimal] = {}
        if self.cost:
            amounts[f"customer:{self.owner.api_key_id or KEYLESS}", self.month] = self.cost
        if self.operator_cost:
            amounts[UNBILLED, self.month] = self.operator_cost
        if amounts:
            amounts[f"provider:{self.provider_type}", self.month] = (self.cost + self.operator_cost).copy_negate()
        return amounts


class Entry(NamedTuple):
    """One line of the ledger. All lines of an event are one transaction, named by the event's id."""

    event_id: UUID
    request_id: str
    account: str
    amount: Decimal
    kind: EntryKind
    month: Month
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted a month; a difference may be negative."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = _NOTHING

    def plus(self, other: Tally) -> Tally:
        """The sum of both."""
        return Tally(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
        )


MonthlyRow = tuple[Owner, Month]


@dataclass(frozen=True, slots=True)
class Booking:
    """What a batch of events does: charges as they stand afterwards, ledger lines, differences of monthly rows."""

    charges: dict[str, Charge]
    entries: list[Entry]
    months: dict[MonthlyRow, Tally]


def month_named(period: str) -> Month:
    """`2026-11` → that month; ValueError for anything else."""
    match = _MONTH.match(period)
    if match is None:
        raise ValueError("period is not a month like 2026-11")
    return Month(int(match[1]), int(match[2]))


def book(standing: Mapping[str, Charge], events: Iterable[Charge]) -> Booking:
    """Book events, each of them new, on top of what stands booked for their requests."""
    booking = Booking({}, [], {})
    with localcontext() as context:
        context.prec = _PRECISION
        for event in events:
            before = booking.charges.get(event.request_id) or standing.get(event.request_id)
            if not _counts(before, event):
                continue
            booking.charges[event.request_id] = event
            booking.entries.extend(_entries(before, event))
            if before is not None:
                _count(booking.months, before, negative=True)
            _count(booking.months, event)
    return booking


def unseen(events: Sequence[Charge], claimed: Iterable[UUID]) -> list[Charge]:
    """Of the events those whose id was just claimed, each once although it may stand there twice."""
    left = set(claimed)
    fresh: list[Charge] = []
    for event in events:
        if event.event_id in left:
            left.remove(event.event_id)
            fresh.append(event)
    return fresh


def _counts(before: Charge | None, event: Charge) -> bool:
    return before is None or (before.state == "estimated" and event.state == "final")


def _entries(before: Charge | None, event: Charge) -> list[Entry]:
    amounts = event.position()
    if before is not None:
        for post, amount in before.position().items():
            amounts[post] = amounts.get(post, _NOTHING) - amount
    kind: EntryKind = "usage" if before is None else "correction"
    return [
        Entry(event.event_id, event.request_id, account, amount, kind, month, event.occurred_at)
        for (account, month), amount in amounts.items()
        if amount
    ]


def _count(months: dict[MonthlyRow, Tally], charge: Charge, *, negative: bool = False) -> None:
    sign = -1 if negative else 1
    row = (charge.owner, charge.month)
    tally = Tally(sign, sign * charge.input_tokens, sign * charge.output_tokens, sign * charge.cost)
    months[row] = months[row].plus(tally) if row in months else tally
