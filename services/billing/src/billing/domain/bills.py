"""Providers' bills: read from what they let one download, and held against the ledger by model and day. Pure.

Formats: OpenAI's organization costs and usage (completions), Anthropic's cost report, OpenRouter's activity, and a plain
CSV with the columns `day, model, amount_usd` (`input_tokens`, `output_tokens` optional). Numbers are read as exact
decimals, never as floats; what a bill cannot mean (an amount or a count beyond all bounds, a name that is no text) is
refused before anything is added up.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, localcontext
from typing import Any, Literal

from common.errors import Unprocessable

from billing.domain.charges import PRECISION

Format = Literal["openai_costs", "openai_usage", "anthropic_cost", "openrouter_activity", "csv"]

ALARMING = Decimal("0.01")
"""The share of what is booked that a bill may differ by."""

TOKENS_ALONE: frozenset[Format] = frozenset({"openai_usage"})
"""Bills that tell no amounts."""

_CENTS = 100
_NOTHING = Decimal(0)
_MOST_AMOUNT = Decimal(10) ** 12
_SMALLEST = Decimal(1).scaleb(-20)
"""Digits behind that are no money: a provider's program has written out a float."""
_MOST_TOKENS = 10**15
_LONGEST_NAME = 256
_EXACT = Context(prec=PRECISION)


class BillUnreadable(Unprocessable):
    """What was uploaded is not the bill that it is said to be."""


@dataclass(frozen=True, slots=True)
class BillRow:
    """What a provider bills for a model (None: all of them) on a UTC day; an amount or tokens of None are not told."""

    day: date
    model: str | None
    amount: Decimal | None
    tokens: int | None


@dataclass(frozen=True, slots=True)
class BookedRow:
    """What the ledger owes for a model on a UTC day."""

    day: date
    model: str
    amount: Decimal
    tokens: int


@dataclass(frozen=True, slots=True)
class MatchedRow:
    """A day of a model (empty: all of them), billed and booked."""

    day: date
    model: str
    billed: Decimal | None
    booked: Decimal
    billed_tokens: int | None
    booked_tokens: int

    @property
    def drift(self) -> Decimal | None:
        """US dollars that are billed beyond what is booked; None where the bill tells no amounts."""
        return None if self.billed is None else self.billed - self.booked

    @property
    def is_off(self) -> bool:
        """Whether the bill says something else than the books."""
        tokens_differ = self.billed is None and self.billed_tokens != self.booked_tokens
        return bool(self.drift) or tokens_differ


@dataclass(frozen=True, slots=True)
class Matched:
    """A bill held against the books."""

    rows: tuple[MatchedRow, ...]
    billed: Decimal | None
    booked: Decimal
    drift_ratio: Decimal | None

    @property
    def drift(self) -> Decimal:
        """US dollars that are billed beyond what is booked; zero where the bill tells no amounts."""
        return _NOTHING if self.billed is None else self.billed - self.booked

    @property
    def is_alarming(self) -> bool:
        """Whether the two differ by more than may be; without anything booked any bill does."""
        return self.drift_ratio is None or self.drift_ratio > ALARMING


def read_bill(form: Format, text: str) -> list[BillRow]:
    """The rows of a bill; BillUnreadable when it is none of that form, or empty."""
    rows = read_page(form, text)
    if not rows:
        raise BillUnreadable("the bill has no rows")
    return rows


def read_page(form: Format, text: str) -> list[BillRow]:
    """The rows of a page of a bill, which may have none; BillUnreadable when it is none of that form."""
    try:
        rows = list(_READERS[form](text))
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise BillUnreadable(f"this is no {form} bill: {type(error).__name__}") from error
    if any(not _can_be_meant(row) for row in rows):
        raise BillUnreadable("the bill has a name, an amount or a count that cannot be meant")
    return rows


def match(
    bill: Sequence[BillRow], booked: Iterable[BookedRow], own_name: Callable[[str], str], *, has_amounts: bool = True
) -> Matched:
    """Hold a bill against the books, day by day and model by model; by day alone where the bill names no models.
    `own_name` is what we call a model that the provider names (a dated version). Without amounts tokens are compared."""
    has_models = all(row.model is not None for row in bill)
    sums: defaultdict[tuple[date, str], list[Any]] = defaultdict(lambda: [_NOTHING, 0, _NOTHING, 0])
    with localcontext() as context:
        context.prec = PRECISION
        for row in bill:
            place = sums[row.day, own_name(row.model) if has_models and row.model else ""]
            place[0] += row.amount or _NOTHING
            place[1] += row.tokens or 0
        for known in booked:
            place = sums[known.day, known.model if has_models else ""]
            place[2] += known.amount
            place[3] += known.tokens
        rows = tuple(_row(*key, *sums[key], has_amounts=has_amounts) for key in sorted(sums))
        billed = sum((place[0] for place in sums.values()), _NOTHING) if has_amounts else None
        owed = sum((place[2] for place in sums.values()), _NOTHING)
        return Matched(rows, billed, owed, _ratio(rows, billed, owed))


def _can_be_meant(row: BillRow) -> bool:
    is_name = row.model is None or (
        isinstance(row.model, str) and len(row.model) <= _LONGEST_NAME and row.model.isprintable()
    )
    return is_name and (row.amount is None or abs(row.amount) <= _MOST_AMOUNT)


def _row(
    day: date, model: str, billed: Decimal, tokens: int, booked: Decimal, booked_tokens: int, *, has_amounts: bool
) -> MatchedRow:
    return MatchedRow(day, model, billed if has_amounts else None, booked, tokens or None, booked_tokens)


def _ratio(rows: Sequence[MatchedRow], billed: Decimal | None, booked: Decimal) -> Decimal | None:
    """How far the two are apart as a share of what is booked; None where nothing is booked and something billed."""
    if billed is None:
        told, known = sum(row.billed_tokens or 0 for row in rows), sum(row.booked_tokens for row in rows)
        billed, booked = Decimal(told), Decimal(known)
    if not booked:
        return None if billed else _NOTHING
    return abs(billed - booked) / booked


def _openai_costs(text: str) -> Iterator[BillRow]:
    for bucket in _json(text)["data"]:
        for result in bucket["results"]:
            item = result.get("line_item")
            model = item.partition(",")[0].strip() if item else None
            yield BillRow(_day(bucket["start_time"]), model, _amount(result["amount"]["value"]), None)


def _openai_usage(text: str) -> Iterator[BillRow]:
    for bucket in _json(text)["data"]:
        for result in bucket["results"]:
            tokens = _tokens(result["input_tokens"]) + _tokens(result["output_tokens"])
            yield BillRow(_day(bucket["start_time"]), result.get("model"), None, tokens)


def _anthropic_cost(text: str) -> Iterator[BillRow]:
    """Amounts come in cents, as decimal strings."""
    for bucket in _json(text)["data"]:
        for result in bucket["results"]:
            yield BillRow(_day(bucket["starting_at"]), result.get("model"), _amount(result["amount"], _CENTS), None)


def _openrouter_activity(text: str) -> Iterator[BillRow]:
    for row in _json(text)["data"]:
        tokens = _tokens(row.get("prompt_tokens", 0)) + _tokens(row.get("completion_tokens", 0))
        yield BillRow(_day(row["date"]), row["model"], _amount(row["usage"]), tokens)


def _csv(text: str) -> Iterator[BillRow]:
    for row in csv.DictReader(io.StringIO(text)):
        tokens = _tokens(row.get("input_tokens") or 0) + _tokens(row.get("output_tokens") or 0)
        yield BillRow(_day(row["day"]), row.get("model") or None, _amount(row["amount_usd"]), tokens)


_READERS: Mapping[Format, Callable[[str], Iterator[BillRow]]] = {
    "openai_costs": _openai_costs,
    "openai_usage": _openai_usage,
    "anthropic_cost": _anthropic_cost,
    "openrouter_activity": _openrouter_activity,
    "csv": _csv,
}


def _json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _amount(told: Any, of: int = 1) -> Decimal:
    """US dollars; `of`: how many of what is told make one."""
    if isinstance(told, (bool, float)) or told is None:
        raise TypeError("an amount is a number or its text")
    amount = Decimal(told)
    if not amount.is_finite():
        raise ValueError("an amount is a finite number")
    return _EXACT.divide(amount, of).quantize(_SMALLEST, context=_EXACT)


def _tokens(told: Any) -> int:
    count = _amount(told)
    if not 0 <= count <= _MOST_TOKENS or count != int(count):
        raise ValueError("a count is a whole number of tokens")
    return int(count)


def _day(told: Any) -> date:
    """A UTC day from seconds since 1970, an instant or a date as text."""
    if isinstance(told, int):
        return datetime.fromtimestamp(told, UTC).date()
    if len(told) == 10:
        return date.fromisoformat(told)
    instant = datetime.fromisoformat(told)
    return (instant.astimezone(UTC) if instant.tzinfo is not None else instant).date()
