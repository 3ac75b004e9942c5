"""In which counters calls count, and how much of it is settlement's, without any server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from billing.domain import ledger
from billing.domain.charges import Charge
from billing.domain.counters import MONTHLY, Counter, Span, counter_named
from billing.domain.counting import Counted, Counts, differences
from billing.domain.reading import Reader
from hypothesis import given
from hypothesis import strategies as st

MakeEvent = Callable[..., Any]
DAILY = Span("daily", "UTC")
BERLIN = Span("daily", "Europe/Berlin")


@pytest.fixture
def charge(usage_event: MakeEvent) -> Callable[..., Charge]:
    """Makes charges as they are read from events."""
    return lambda request="r", **members: Reader().charge(usage_event(request, **members).model_dump_json().encode())


def attempt(provider: str, model: str, cost: str) -> dict[str, Any]:
    return {
        "provider": provider,
        "model": model,
        "status": "completed",
        "http_status": 200,
        "latency_ms": 1,
        "usage": None,
        "cost_usd": cost,
    }


def test_keys_users_and_teams_are_counted_whether_or_not_anybody_asks(charge: Callable[..., Charge]) -> None:
    found = Counts({}).of(charge(cost="0.5", team_id="team-1"))
    assert found == {
        Counter("key:key-1", "2026-11"): Decimal("0.5"),
        Counter("user:user-1", "2026-11"): Decimal("0.5"),
        Counter("team:team-1", "2026-11"): Decimal("0.5"),
    }


def test_a_provider_counts_its_own_attempts_only(charge: Callable[..., Charge]) -> None:
    tried = [attempt("openai", "gpt-4", "0.1"), attempt("groq", "llama", "0.2"), attempt("openai", "gpt-4o", "0.4")]
    places = ("provider:openai", "provider:groq", "model:openai/gpt-4", "user:user-1/provider:openai", "global")
    watched = {scope: [MONTHLY] for scope in places}
    found = Counts(watched).of(charge(cost="0.7", attempts=tried))
    assert {counter.scope: str(amount) for counter, amount in found.items()} == {
        "key:key-1": "0.7",
        "user:user-1": "0.7",
        "provider:openai": "0.5",
        "provider:groq": "0.2",
        "model:openai/gpt-4": "0.1",
        "user:user-1/provider:openai": "0.5",
        "global": "0.7",
    }


def test_a_call_counts_in_the_period_that_admission_chose_and_else_in_the_one_it_began_in(
    charge: Callable[..., Charge],
) -> None:
    at_midnight = {"started_at": "2026-11-21T22:59:59.999Z", "cost": "1"}
    watched = {"user:user-1": [DAILY, BERLIN]}
    plain = Counts(watched).of(charge(**at_midnight))
    assert {name.period for name in plain if name.scope == "user:user-1"} == {
        "2026-11-21",
        "2026-11-21@Europe/Berlin",
        "2026-11",
    }
    named = charge(**at_midnight, budgets=["user:user-1:2026-11-22@Europe/Berlin"])
    assert {name.period for name in Counts(watched).of(named) if name.scope == "user:user-1"} == {
        "2026-11-21",
        "2026-11-22@Europe/Berlin",
        "2026-11",
    }


@pytest.mark.parametrize(
    ("name", "counter"),
    [
        ("key:k1:2026-11", Counter("key:k1", "2026-11")),
        ("global:total", Counter("global", "total")),
        (
            "user:u:1/model:openai/gpt-4:2026-W47@America/New_York",
            Counter("user:u:1/model:openai/gpt-4", "2026-W47@America/New_York"),
        ),
        ("key:k1", None),
        ("user:u1:2026", None),
    ],
)
def test_a_counters_name_is_read_back(name: str, counter: Counter | None) -> None:
    assert counter_named(name) == counter
    assert counter is None or counter.name == name


def test_what_settlement_counted_is_not_counted_again(charge: Callable[..., Charge]) -> None:
    booking = ledger.book({}, [charge(cost="0.5", budgets=["key:key-1:2026-11"])])
    assert differences(booking.changes, {}) == {
        Counter("key:key-1", "2026-11"): Counted(Decimal("0.5"), Decimal("0.5")),
        Counter("user:user-1", "2026-11"): Counted(Decimal("0.5"), Decimal(0)),
    }


def test_a_tracked_call_counts_in_budgets_and_is_nobodys_debt(charge: Callable[..., Charge]) -> None:
    tracked = charge(status="tracked", source="track", billable=False, cost="0.5", budgets=["user:user-1:2026-11"])
    booking = ledger.book({}, [tracked])
    assert booking.entries == []
    assert differences(booking.changes, {})[Counter("user:user-1", "2026-11")] == Counted(Decimal("0.5"), Decimal(0))


def test_a_call_on_ones_own_credential_counts_in_no_budget(charge: Callable[..., Charge]) -> None:
    booking = ledger.book({}, [charge(billable=False, cost="0.5")])
    assert differences(booking.changes, {"global": [MONTHLY]}) == {}


def test_the_name_of_a_key_without_a_period_is_its_month(charge: Callable[..., Charge]) -> None:
    assert charge(budgets=["key:key-1"]).budgets == (Counter("key:key-1", "2026-11"),)


amounts = st.decimals(min_value=0, max_value=10**6, places=12)
epochs = st.sampled_from([None, "old", "present"])


@given(calls=st.lists(st.tuples(st.integers(0, 2), amounts, amounts, epochs, epochs, st.booleans()), max_size=8))
def test_what_redis_holds_and_what_billing_adds_is_what_was_spent(usage_event: MakeEvent, calls: list[Any]) -> None:
    """Redis as settlement leaves it, beside the counters as booking leaves them: estimates, finals, both, late or not."""
    redis: defaultdict[str, Decimal] = defaultdict(Decimal)
    other: defaultdict[str, Decimal] = defaultdict(Decimal)
    spent: defaultdict[str, Decimal] = defaultdict(Decimal)
    for number, (user, guess, cost, guessed_in, told_in, has_estimate) in enumerate(calls):
        name = f"user:u{user}:2026-11"
        before: dict[str, Charge] = {}
        settled = Decimal(0)
        guesses = [("estimated", guess, guessed_in)] if has_estimate else []
        for kind, amount, epoch in [*guesses, ("final", cost, told_in)]:
            if (
                epoch != "old"
            ):  # its settlement finds the hold, or the mark of what was counted for it, and makes it right
                redis[name] += amount - settled
                settled = amount
            members = {"user_id": f"u{user}", "budgets": [name], "epoch": epoch}
            told = usage_event(f"r{number}", kind=kind, cost=f"{amount:f}", **members).model_dump_json()
            booking = ledger.book(before, [Reader().charge(told.encode())], "present")
            before = booking.charges
            for counter, change in differences(booking.changes, {}).items():
                other[counter.name] += change.other
        spent[name] += cost
    assert {name: redis[name] + other[name] for name in spent} == spent


def test_an_instant_in_another_zone_is_in_that_zones_day(charge: Callable[..., Charge]) -> None:
    late = charge(started_at="2026-11-30T23:30:00Z")
    assert late.occurred_at == datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    found = Counts({"global": [Span("weekly", "Asia/Tokyo"), Span("total", "Asia/Tokyo")]}).of(late)
    assert {counter.period for counter in found if counter.scope == "global"} == {"2026-W49@Asia/Tokyo", "total"}


def test_attempts_by_another_s_credential_count_nowhere(charge: Callable[..., Charge]) -> None:
    """A user's own credential was refused after it had cost its owner something, and ours answered."""
    own = {**attempt("openai", "gpt-4", "0.3"), "credential": "byok"}
    read = charge(cost="0.2", attempts=[own, attempt("groq", "llama", "0.2")])
    assert [one.cost for one in read.attempts] == [Decimal(0), Decimal("0.2")]
    assert (
        sum(amount for account, amount in read.position().items() if account[0].startswith("provider:")) == -read.cost
    )
