"""Providers' bills: read as they come, held against the books by day and model, without any server."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from billing.domain.bills import BillRow, BillUnreadable, BookedRow, match, read_bill
from hypothesis import given
from hypothesis import strategies as st

FIRST, SECOND = date(2026, 11, 1), date(2026, 11, 2)

OPENAI_COSTS = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1793491200,
            "end_time": 1793577600,
            "results": [
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.1, "currency": "usd"},
                    "line_item": "gpt-4o-2024-08-06, input",
                },
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.2, "currency": "usd"},
                    "line_item": "gpt-4o-2024-08-06, output",
                },
            ],
        }
    ],
}
OPENAI_USAGE = {
    "data": [{"start_time": 1793491200, "results": [{"input_tokens": 10, "output_tokens": 5, "model": "gpt-4o"}]}]
}
ANTHROPIC = {
    "data": [
        {
            "starting_at": "2026-11-01T00:00:00Z",
            "results": [
                {"currency": "USD", "amount": "123.78912", "model": "claude-haiku", "token_type": "output_tokens"}
            ],
        }
    ]
}
OPENROUTER = {
    "data": [
        {"date": "2026-11-02", "model": "openai/gpt-4.1", "usage": 0.015, "prompt_tokens": 50, "completion_tokens": 125}
    ]
}


def openrouter(**members: object) -> str:
    return json.dumps({"data": [OPENROUTER["data"][0] | members]})


@pytest.mark.parametrize(
    ("form", "bill", "rows"),
    [
        (
            "openai_costs",
            json.dumps(OPENAI_COSTS),
            [
                BillRow(FIRST, "gpt-4o-2024-08-06", Decimal("0.1"), None),
                BillRow(FIRST, "gpt-4o-2024-08-06", Decimal("0.2"), None),
            ],
        ),
        ("openai_usage", json.dumps(OPENAI_USAGE), [BillRow(FIRST, "gpt-4o", None, 15)]),
        ("anthropic_cost", json.dumps(ANTHROPIC), [BillRow(FIRST, "claude-haiku", Decimal("1.2378912"), None)]),
        ("openrouter_activity", json.dumps(OPENROUTER), [BillRow(SECOND, "openai/gpt-4.1", Decimal("0.015"), 175)]),
        ("csv", "day,model,amount_usd\n2026-11-01,gpt-4,1.50\n", [BillRow(FIRST, "gpt-4", Decimal("1.50"), 0)]),
    ],
)
def test_each_bill_is_read_exactly(form: str, bill: str, rows: list[BillRow]) -> None:
    assert read_bill(form, bill) == rows  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "bill"),
    [
        ("openai_costs", "not json"),
        ("openai_costs", "[]"),
        ("openai_costs", '{"data": []}'),
        ("openai_costs", '{"data": [{"start_time": 1e400, "results": [{"amount": {"value": 1}}]}]}'),
        ("openai_costs", '{"data": [{"start_time": 1, "results": [{"amount": {"value": NaN}}]}]}'),
        ("anthropic_cost", '{"data": [{"starting_at": "2026-11-01T00:00:00Z", "results": [{"amount": "NaN"}]}]}'),
        ("openrouter_activity", '{"data": [{"date": "someday", "model": "m", "usage": 1}]}'),
        ("csv", "day,amount\n2026-11-01,1\n"),
        ("csv", "day,model,amount_usd\n2026-11-01,m,Infinity\n"),
        ("csv", "day,model,amount_usd\n2026-11-01,m,1e999999\n"),
        ("csv", "day,model,amount_usd\n2026-11-01,m,1000000000001\n"),
        ("csv", "day,model,amount_usd\n2026-11-01,a\0b,1\n"),
        ("csv", "day,model,amount_usd,input_tokens\n2026-11-01,m,1,-1\n"),
        ("openrouter_activity", openrouter(model="\ud800")),
        ("openrouter_activity", openrouter(model=5)),
        ("openrouter_activity", openrouter(model={})),
        ("openrouter_activity", openrouter(model="m" * 257)),
        ("openrouter_activity", openrouter(prompt_tokens=10**30)),
        ("openrouter_activity", openrouter(prompt_tokens=0.5)),
        ("openrouter_activity", openrouter(prompt_tokens=1).replace("1,", "1e99999999,")),
        ("csv", ""),
    ],
)
def test_what_is_no_bill_is_refused(form: str, bill: str) -> None:
    with pytest.raises(BillUnreadable):
        read_bill(form, bill)  # type: ignore[arg-type]


def test_the_noise_of_a_float_is_no_money_and_cents_are_not_rounded() -> None:
    [noisy] = read_bill("openrouter_activity", openrouter(usage=1.2345678901234567e-08))
    assert noisy.amount == Decimal("0.00000001234567890123")
    cents = json.dumps(ANTHROPIC).replace("123.78912", "123456789012.123456789012345678")
    assert read_bill("anthropic_cost", cents)[0].amount == Decimal("1234567890.12123456789012345678")


def test_a_bill_that_agrees_has_no_drift_and_dated_names_are_ours() -> None:
    bill = read_bill("openai_costs", json.dumps(OPENAI_COSTS))
    matched = match(bill, [BookedRow(FIRST, "gpt-4o", Decimal("0.3"), 15)], lambda name: name[:6])
    [row] = matched.rows
    assert (row.model, row.billed, row.drift, row.is_off) == ("gpt-4o", Decimal("0.3"), 0, False)
    assert (matched.drift_ratio, matched.is_alarming) == (0, False)


@pytest.mark.parametrize(("billed", "alarming"), [("100.99", False), ("101", False), ("101.01", True), ("98.9", True)])
def test_more_than_one_percent_is_alarming(billed: str, alarming: bool) -> None:
    bill = [BillRow(FIRST, "m", Decimal(billed), None)]
    assert match(bill, [BookedRow(FIRST, "m", Decimal(100), 0)], str).is_alarming is alarming


def test_a_bill_for_what_nobody_booked_is_alarming() -> None:
    assert match([BillRow(FIRST, "m", Decimal("0.01"), None)], [], str).is_alarming


def test_a_bill_without_models_is_held_against_the_day() -> None:
    booked = [BookedRow(FIRST, "a", Decimal(1), 10), BookedRow(FIRST, "b", Decimal(2), 20)]
    [row] = match([BillRow(FIRST, None, Decimal("3.5"), None)], booked, str).rows
    assert (row.model, row.drift, row.booked_tokens) == ("", Decimal("0.5"), 30)


def test_a_bill_of_tokens_alone_is_compared_by_tokens() -> None:
    matched = match([BillRow(FIRST, "m", None, 102)], [BookedRow(FIRST, "m", Decimal(1), 100)], str, has_amounts=False)
    assert (matched.billed, matched.drift, matched.drift_ratio) == (None, 0, Decimal("0.02"))
    assert [row.is_off for row in matched.rows] == [True]


amounts = st.decimals(min_value=0, max_value=10**6, places=9)
places = st.tuples(st.sampled_from([FIRST, SECOND]), st.sampled_from(["a", "b"]))


@given(st.lists(st.tuples(places, amounts)), st.lists(st.tuples(places, amounts)))
def test_the_rows_add_up_to_the_whole_whatever_matches(bill: list[object], booked: list[object]) -> None:
    billed = [BillRow(day, model, amount, None) for (day, model), amount in bill]  # type: ignore[misc, attr-defined]
    known = [BookedRow(day, model, amount, 0) for (day, model), amount in booked]  # type: ignore[misc, attr-defined]
    if not billed:
        return
    matched = match(billed, known, str)
    assert sum(row.drift or 0 for row in matched.rows) == matched.drift
    assert matched.drift == sum(row.amount or 0 for row in billed) - sum(row.amount for row in known)
