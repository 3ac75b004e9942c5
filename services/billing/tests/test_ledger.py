"""The rules of the ledger, without any server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

from billing.domain.charges import Attempt, Charge, Month, Owner
from billing.domain.ledger import Booking, MonthlyRow, Tally, book, unseen
from billing.domain.reading import Reader
from common.ids import usage_event_id
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

NOVEMBER = Month(2026, 11)
MakeEvent = Callable[..., Any]


def read(event: Any) -> Charge:
    return Reader().charge(event.model_dump_json().encode())


def charge(request: str, state: Any = "final", cost: str = "1", **changes: Any) -> Charge:
    plain = Charge(
        request_id=request,
        event_id=UUID(usage_event_id(request, state)),
        state=state,
        owner=Owner("key-1", "user-1"),
        team_id=None,
        provider_type="openai",
        month=NOVEMBER,
        cost=Decimal(cost),
        operator_cost=Decimal(0),
        input_tokens=10,
        output_tokens=5,
        occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
    )
    changed = replace(plain, **changes)
    # As it is read: what it costs counts, and its one attempt is all of it.
    whole = Attempt(changed.provider_type, "gpt-4", changed.cost, changed.operator_cost)
    return replace(changed, counted=changed.cost, attempts=(whole,))


amounts = st.decimals(min_value=0, max_value=10**9, places=16)


@st.composite
def told(draw: st.DrawFn) -> list[Charge]:
    """Events of a few requests: a final, an estimate, or both, which may differ in everything."""
    kinds = st.sampled_from([["final"], ["estimated"], ["final", "estimated"]])
    return [
        charge(
            f"request-{number}",
            state,
            cost=draw(amounts),
            operator_cost=draw(amounts),
            provider_type=draw(st.sampled_from(["openai", "groq"])),
            owner=Owner(draw(st.sampled_from(["key-1", "key-2", None])), "user-1"),
            month=Month(2026, draw(st.sampled_from([10, 11]))),
            input_tokens=draw(st.integers(0, 10**6)),
            output_tokens=draw(st.integers(0, 10**6)),
        )
        for number in range(draw(st.integers(1, 6)))
        for state in draw(kinds)
    ]


class Books:
    """What batches add up to."""

    def __init__(self) -> None:
        self.standing: dict[str, Charge] = {}
        self.known: set[UUID] = set()
        self.accounts: dict[tuple[str, Month], Decimal] = defaultdict(Decimal)
        self.months: dict[MonthlyRow, Tally] = defaultdict(Tally)

    def take(self, events: Sequence[Charge]) -> Booking:
        fresh = unseen(events, {event.event_id for event in events} - self.known)
        booking = book(self.standing, fresh)
        self.known.update(event.event_id for event in fresh)
        self.standing |= booking.charges
        with localcontext() as context:
            context.prec = 60
            for entry in booking.entries:
                self.accounts[entry.account, entry.month] += entry.amount
            for row, tally in booking.months.items():
                self.months[row] = self.months[row].plus(tally)
        return booking

    def sums(self) -> tuple[dict[Any, Any], dict[Any, Any]]:
        accounts = {post: amount for post, amount in self.accounts.items() if amount}
        return accounts, {row: tally for row, tally in self.months.items() if tally.requests}


@given(told(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_every_order_and_repetition_ends_in_the_same_sums(events: list[Charge], random: Any, size: int) -> None:
    once = Books()
    once.take(events)
    shuffled = events * 3
    random.shuffle(shuffled)
    again = Books()
    for start in range(0, len(shuffled), size):
        again.take(shuffled[start : start + size])
    assert again.sums() == once.sums()


@given(told())
def test_the_sums_are_those_of_the_last_word_on_each_request(events: list[Charge]) -> None:
    books = Books()
    books.take(events)
    last = {event.request_id: event for event in sorted(events, key=lambda e: e.state == "final")}
    with localcontext() as context:
        context.prec = 60
        owed = sum((event.cost for event in last.values()), Decimal(0))
        booked = sum(
            (amount for (name, _), amount in books.accounts.items() if name.startswith("customer:")), Decimal(0)
        )
        counted = sum((tally.cost for tally in books.months.values()), Decimal(0))
    assert owed == booked == counted
    assert sum(tally.requests for tally in books.months.values()) == len(last)
    assert sum(tally.input_tokens for tally in books.months.values()) == sum(e.input_tokens for e in last.values())


@given(told())
def test_every_transaction_sums_to_zero(events: list[Charge]) -> None:
    transactions: dict[UUID, Decimal] = defaultdict(Decimal)
    with localcontext() as context:
        context.prec = 60
        for entry in book({}, events).entries:
            transactions[entry.event_id] += entry.amount
    assert set(transactions.values()) <= {Decimal(0)}


def test_a_final_after_an_estimate_books_only_the_difference() -> None:
    books = Books()
    books.take([charge("r", "estimated", "0.50")])
    correction = books.take([charge("r", "final", "0.20")])
    assert {(e.account, e.amount, e.kind) for e in correction.entries} == {
        ("customer:key-1", Decimal("-0.30"), "correction"),
        ("provider:openai", Decimal("0.30"), "correction"),
    }
    assert books.months[Owner("key-1", "user-1"), NOVEMBER] == Tally(1, 10, 5, Decimal("0.20"))


def test_a_final_that_another_provider_answered_moves_the_debt_to_it() -> None:
    books = Books()
    books.take([charge("r", "estimated", "0.50", provider_type="openai")])
    books.take([charge("r", "final", "0.50", provider_type="groq")])
    assert books.sums()[0] == {
        ("customer:key-1", NOVEMBER): Decimal("0.50"),
        ("provider:groq", NOVEMBER): Decimal("-0.50"),
    }


def test_an_estimate_after_the_final_books_nothing() -> None:
    books = Books()
    final = charge("r", "final", "0.20")
    books.take([final])
    assert books.take([charge("r", "estimated", "0.50")]) == Booking({}, [], [], {}, {}, {}, {"r": final})


def test_of_the_events_delivered_only_those_just_claimed_are_fresh_and_each_once() -> None:
    first, second = charge("r"), charge("s")
    assert unseen([first, second, first], [first.event_id]) == [first]
    assert unseen([first, second], []) == []


def test_what_nobody_can_be_charged_for_is_the_operators() -> None:
    entries = book({}, [charge("r", cost="0.2", operator_cost=Decimal("0.05"))]).entries
    assert {entry.account: entry.amount for entry in entries} == {
        "customer:key-1": Decimal("0.2"),
        "operator:unbilled": Decimal("0.05"),
        "provider:openai": Decimal("-0.25"),
    }


def test_a_free_call_is_counted_but_not_booked() -> None:
    booking = book({}, [charge("r", cost="0")])
    assert booking.entries == []
    assert booking.months == {(Owner("key-1", "user-1"), NOVEMBER): Tally(1, 10, 5, Decimal(0))}


def test_a_call_on_the_callers_own_credential_is_counted_but_not_booked(usage_event: MakeEvent) -> None:
    booking = book({}, [read(usage_event("r", billable=False, cost="3", operator_cost="1"))])
    assert booking.entries == []
    assert booking.months == {(Owner("key-1", "user-1"), NOVEMBER): Tally(1, 10, 5, Decimal(0))}


def test_costs_are_added_without_rounding() -> None:
    tiny = [charge(f"r{number}", cost="1000000000.0000000000000000001") for number in range(3)]
    [tally] = book({}, tiny).months.values()
    assert tally.cost == Decimal("3000000000.0000000000000000003")


def test_tokens_are_counted_over_all_buckets(usage_event: MakeEvent) -> None:
    event = usage_event("r")
    buckets = dict(zip(type(event.data.usage).model_fields, [1, 2, 4, 8, 16, 32, 64, 128], strict=False))
    usage = event.data.usage.model_copy(update=buckets)
    counted = read(event.model_copy(update={"data": event.data.model_copy(update={"usage": usage})}))
    assert (counted.input_tokens, counted.output_tokens) == (1 + 2 + 4 + 8 + 64, 16 + 32 + 128)
