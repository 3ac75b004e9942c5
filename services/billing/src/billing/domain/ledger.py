"""What a usage event does to the books: pure, exact, and indifferent to the order in which events arrive.

A request is told of at most twice: `estimated` by whoever found it abandoned, `final` by its own gateway. JetStream may
deliver the two in either order, and each any number of times. What stands booked for a request is therefore a state:
none → estimated → final. The first event of a request is booked whole; a final after an estimate books the *difference*
between the two, account by account; everything else books nothing. So every order ends in the same sums.

Accounts: `customer:<key>` owes what its calls cost, `provider:<type>` is owed it, attempt by attempt; what nobody can be
charged for is `operator:unbilled`. A call on the caller's own credential is billed by its provider: it is counted, never
booked. What the same changes do to budgets is `counting`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from billing.domain.charges import PRECISION, Attempt, Change, Charge, Month, Owner
from billing.domain.counting import settled_after

EntryKind = Literal["usage", "correction", "rerating", "reconciliation"]

_NOTHING = Decimal(0)
_INPUT = frozenset(
    {"input_tokens", "cached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "audio_input_tokens"}
)
_OUTPUT = frozenset({"output_tokens", "reasoning_tokens", "audio_output_tokens"})


class Entry(NamedTuple):
    """One line of the ledger. All lines of an event are one transaction, named by the event's id."""

    event_id: UUID
    request_id: str
    account: str
    amount: Decimal
    kind: EntryKind
    month: Month
    occurred_at: datetime


class Tally(msgspec.Struct, frozen=True, gc=False):
    """What is counted a month or day; a difference may be negative."""

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


class ProviderDay(NamedTuple):
    """A provider's model on a UTC day; what the simulator answered is kept apart."""

    day: date
    provider_type: str
    model: str
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class Booking:
    """What a batch of events does: charges as they stand afterwards, and each change on the way there; ledger lines;
    differences of monthly rows, of providers' days and of quotas used. `told_twice`: the final charges of requests that a
    reaper has told of, too, so that nobody knows which of the two has settled."""

    charges: dict[str, Charge]
    changes: list[Change]
    entries: list[Entry]
    months: dict[MonthlyRow, Tally]
    days: dict[ProviderDay, Tally]
    quotas: dict[tuple[str, Month], int]
    told_twice: dict[str, Charge]


def book(standing: Mapping[str, Charge], events: Iterable[Charge], epoch: str | None = None) -> Booking:
    """Book events, each of them fresh, on top of what stands booked for their requests; `epoch` is the present one."""
    booking = Booking({}, [], [], {}, {}, {}, {})
    with localcontext() as context:
        context.prec = PRECISION
        for event in events:
            before = booking.charges.get(event.request_id) or standing.get(event.request_id)
            after = before
            if _counts(before, event):
                after = msgspec.structs.replace(event, settled=settled_after(before, event, epoch))
                _change(booking, before, after)
            if before is not None and after is not None and before.state != event.state:
                booking.told_twice[event.request_id] = after
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


def entries_between(before: Charge | None, after: Charge, transaction_id: UUID, kind: EntryKind) -> list[Entry]:
    """The lines that turn what stood into what stands."""
    amounts = after.position()
    if before is not None:
        for post, amount in before.position().items():
            amounts[post] = amounts.get(post, _NOTHING) - amount
    request_id, at = after.request_id, after.occurred_at
    return [
        Entry(transaction_id, request_id, account, amount, kind, month, at)
        for (account, month), amount in amounts.items()
        if amount
    ]


def count(months: dict[MonthlyRow, Tally], days: dict[ProviderDay, Tally], charge: Charge, sign: int) -> None:
    """Add a charge to its month and its providers' days, or (sign -1) take it away."""
    row = (charge.owner, charge.month)
    tally = Tally(sign, sign * charge.input_tokens, sign * charge.output_tokens, sign * charge.cost)
    months[row] = months[row].plus(tally) if row in months else tally
    if not charge.is_booked:
        return
    at = charge.occurred_at
    day = (at if at.tzinfo is UTC else at.astimezone(UTC)).date()
    for attempt in charge.attempts:
        place = ProviderDay(day, attempt.provider_type, attempt.model, charge.is_simulated)
        owed = _owed(attempt, sign)
        days[place] = days[place].plus(owed) if place in days else owed


def _change(booking: Booking, before: Charge | None, after: Charge) -> None:
    booking.charges[after.request_id] = after
    booking.changes.append((before, after))
    kind: EntryKind = "usage" if before is None else "correction"
    booking.entries.extend(entries_between(before, after, after.event_id, kind))
    if before is not None:
        count(booking.months, booking.days, before, -1)
    elif after.quota is not None:
        used = (after.quota, after.month)
        booking.quotas[used] = booking.quotas.get(used, 0) + 1
    count(booking.months, booking.days, after, 1)


def _counts(before: Charge | None, event: Charge) -> bool:
    return before is None or (before.state == "estimated" and event.state == "final")


def _owed(attempt: Attempt, sign: int) -> Tally:
    read = written = 0
    for bucket, used in attempt.usage.items():
        if bucket in _INPUT:
            read += used
        elif bucket in _OUTPUT:
            written += used
    return Tally(sign, sign * read, sign * written, sign * (attempt.cost + attempt.operator_cost))
