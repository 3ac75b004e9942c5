"""An amount of US dollars: exact, never a float.

Everywhere outside Redis an amount is a `Money` around an exact `Decimal`. Redis counts integers, so that Lua
can add them without rounding: there an amount is a whole number of nano-USD (10⁻⁹ $), rounded **up**, because what
is counted against a budget must never be less than what is owed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

NANO = 1_000_000_000
"""Nano-USD in one dollar."""

MAX_NANO = 2**53 - 1
"""The largest count that a Lua number (a double) holds exactly: about $9.0 million."""

# More digits than tokens × price can need, so that no operation here ever rounds; and if one did, then up.
_EXACT = Context(prec=60, rounding=ROUND_CEILING)


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An exact amount in US dollars; may be negative (a correction)."""

    usd: Decimal

    @classmethod
    def of(cls, value: Decimal | int | str) -> Self:
        """Read an amount; raises ValueError for what is no finite decimal number, TypeError for floats."""
        if isinstance(value, float):
            raise TypeError("money is never a float")
        try:
            usd = Decimal(value)
        except InvalidOperation as error:
            raise ValueError(f"not an amount of money: {value!r}") from error
        if not usd.is_finite():
            raise ValueError(f"not an amount of money: {value!r}")
        return cls(usd)

    @classmethod
    def from_nano(cls, nano: int) -> Self:
        """The amount that so many nano-USD are."""
        return cls(Decimal(nano).scaleb(-9, _EXACT))

    def to_nano_ceiling(self) -> int:
        """Whole nano-USD, rounded up."""
        return nano_ceiling(self.usd)

    def __add__(self, other: Money) -> Money:
        return Money(_EXACT.add(self.usd, other.usd))

    def __sub__(self, other: Money) -> Money:
        return Money(_EXACT.subtract(self.usd, other.usd))

    def __neg__(self) -> Money:
        return Money(self.usd.copy_negate())

    def __bool__(self) -> bool:
        return bool(self.usd)

    def __str__(self) -> str:
        return plain(self.usd)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """In JSON a decimal string; in Python a `Money`."""
        from_text = core_schema.chain_schema(
            [
                core_schema.str_schema(pattern=r"^-?[0-9]{1,20}(\.[0-9]{1,20})?$"),
                core_schema.no_info_plain_validator_function(lambda text: cls(Decimal(text))),
            ]
        )
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.to_string_ser_schema(),
        )


ZERO = Money(Decimal(0))


def nano_ceiling(usd: Decimal) -> int:
    """Whole nano-USD of an amount in dollars, rounded up."""
    return int(usd.scaleb(9, _EXACT).to_integral_value(rounding=ROUND_CEILING))


def plain(value: Decimal) -> str:
    """A decimal without exponent and trailing zeros: one spelling for each amount, so that equal amounts compare equal
    as text in events and SQL alike."""
    if not value:
        return "0"
    text = str(value)  # a fifth of what `format` costs; small and large ones have an exponent
    if "E" in text:
        text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text
