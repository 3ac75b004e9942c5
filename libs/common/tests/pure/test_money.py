"""Money is exact: no operation rounds, each amount has one spelling, and nano-USD are never fewer than what is owed."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from common.money import MAX_NANO, NANO, Money, nano_ceiling, plain
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

# All that JSON takes: 20 digits before the point and 20 behind it.
AMOUNTS = st.builds(
    lambda coefficient, places: Decimal(f"{coefficient}e-{places}"),
    st.integers(-(10**40) + 1, 10**40 - 1) | st.integers(-(10**6), 10**6),
    st.integers(0, 20),
).filter(lambda amount: abs(amount) < 10**20)
ADAPTER = TypeAdapter(Money)


class Bill(BaseModel):
    """Something with an amount in it."""

    total: Money


@given(AMOUNTS, AMOUNTS)
def test_sums_and_differences_are_exact(a: Decimal, b: Decimal) -> None:
    assert Fraction((Money(a) + Money(b)).usd) == Fraction(a) + Fraction(b)
    assert Fraction((Money(a) - Money(b)).usd) == Fraction(a) - Fraction(b)
    assert Money(a) - Money(a) == Money.of(0)
    assert Money.of(0) - Money(a) == -Money(a)


@given(AMOUNTS, AMOUNTS)
def test_amounts_are_ordered_as_their_values_are(a: Decimal, b: Decimal) -> None:
    assert (Money(a) < Money(b)) == (Fraction(a) < Fraction(b))
    assert bool(Money(a)) == (a != 0)


@given(AMOUNTS, st.integers(0, 5))
def test_an_amount_has_one_spelling_however_it_was_written(amount: Decimal, zeros: int) -> None:
    with localcontext() as context:
        context.prec = 60
        padded = amount.quantize(Decimal(1).scaleb(amount.as_tuple().exponent - zeros))  # type: ignore[operator]
    assert str(Money(padded)) == str(Money(amount))
    assert hash(Money(padded)) == hash(Money(amount))


@given(AMOUNTS)
def test_the_spelling_says_exactly_the_amount_and_nothing_needless(amount: Decimal) -> None:
    text = plain(amount)
    assert Fraction(text) == Fraction(amount)
    assert "E" not in text.upper()
    assert not (text.endswith(("0", ".")) and "." in text)
    assert text != "-0"


@pytest.mark.parametrize(
    ("given", "text"), [("0", "0"), ("-0.00", "0"), ("1E+3", "1000"), ("0.10", "0.1"), ("-5.", "-5")]
)
def test_zeros_exponents_and_signs_are_spelled_plainly(given: str, text: str) -> None:
    assert str(Money.of(given)) == text


@given(st.builds(lambda coefficient, places: Decimal(f"{coefficient}e-{places}"), st.integers(), st.integers(0, 40)))
@example(Decimal("1.0000000000000000000000000000000000001"))
def test_nano_dollars_are_rounded_up_and_never_by_a_whole_one(amount: Decimal) -> None:
    nano = nano_ceiling(amount)
    assert Fraction(amount) * NANO <= nano < Fraction(amount) * NANO + 1
    assert Money(amount).to_nano_ceiling() == nano


@given(st.integers(-MAX_NANO, MAX_NANO))
def test_whole_nano_dollars_come_back_as_they_were(nano: int) -> None:
    assert Money.from_nano(nano).to_nano_ceiling() == nano
    assert Fraction(Money.from_nano(nano).usd) == Fraction(nano, NANO)


def test_the_largest_count_is_what_a_double_still_holds_exactly() -> None:
    assert int(float(MAX_NANO)) == MAX_NANO
    assert float(MAX_NANO + 1) == float(MAX_NANO + 2)


@given(AMOUNTS)
def test_json_is_a_string_and_comes_back_equal(amount: Decimal) -> None:
    bill = Bill(total=Money(amount))
    text = bill.model_dump_json()
    assert json.loads(text) == {"total": str(Money(amount))}
    assert Bill.model_validate_json(text) == bill


@pytest.mark.parametrize(
    "text",
    [
        "1.5",
        "1",
        "null",
        '"1e3"',
        '"NaN"',
        '"Infinity"',
        '"1,5"',
        '" 1"',
        '"1_0"',
        '""',
        '"+1"',
        '".5"',
        '"1\\n"',
        '"١"',
    ],
)
def test_json_takes_nothing_but_a_plain_decimal_string(text: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_json(text)


@given(st.floats())
def test_a_float_is_never_money(value: float) -> None:
    floating: Any = value
    with pytest.raises(TypeError, match="never a float"):
        Money.of(floating)
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(floating)


@given(st.text())
def test_what_is_no_number_is_refused_as_a_value(text: str) -> None:
    try:
        number = Decimal(text)
    except ArithmeticError:
        number = Decimal("NaN")
    assume(not number.is_finite())
    with pytest.raises(ValueError, match="not an amount of money"):
        Money.of(text)


def test_python_gives_and_takes_money_and_plain_text() -> None:
    assert Bill(total=Money.of("1.50")).total.usd == Decimal("1.50")
    assert Bill.model_validate({"total": "1.50"}).total == Money.of("1.5")
