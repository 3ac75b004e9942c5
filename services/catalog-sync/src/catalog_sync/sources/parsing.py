"""Reading what strangers send: JSON whose every value may be anything, down to the few that make sense.

Numbers stay exact (`Decimal`), NaN and infinities are refused, names are printable ASCII (so that no look-alike of a
name can stand beside it), amounts and lengths have bounds. What does not fit is None: a strange entry is left out, and
only a document that is no list of models at all is unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from common.http.fetch import SourceUnreadable

MOST_MODELS = 20_000
"""More than any source lists; a longer list is none."""

_MODEL_NAME = re.compile(r"[!-~]{1,256}")
_MOST_TOKENS = 1 << 40
_MOST_DOLLARS = Decimal(1_000_000)
_LONGEST_TEXT = 2_000


def parse_json(body: bytes) -> Any:
    """The document; SourceUnreadable when it is none."""
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise SourceUnreadable(f"what it sent is not JSON ({_kind_of(body)})") from error


def model_name(value: Any) -> str | None:
    """A name that a provider takes: printable ASCII without spaces."""
    return value if isinstance(value, str) and _MODEL_NAME.fullmatch(value) else None


def text(value: Any) -> str:
    """Words for people, cut to a bound and without control characters; empty for anything else."""
    return "".join(c for c in value[:_LONGEST_TEXT] if c.isprintable() or c == "\n") if isinstance(value, str) else ""


def tokens(value: Any) -> int | None:
    """A number of tokens, at least one."""
    number = _number(value)
    return int(number) if number is not None and 1 <= number <= _MOST_TOKENS else None


def dollars(value: Any, per: int = 1) -> Decimal | None:
    """US dollars for one of something, times `per`; None for what is no price."""
    number = _number(value)
    if number is None or not 0 <= number <= _MOST_DOLLARS or number * per > _MOST_DOLLARS:
        return None
    return number * per


def day(value: Any) -> datetime | None:
    """A date `2026-11-30` as its first instant in UTC."""
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC) if isinstance(value, str) else None
    except ValueError:
        return None


def member(value: Any, name: str) -> Mapping[str, Any]:
    """A member that is an object; empty for anything else."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    # A float that was printed has no more than 17 digits; what is smaller or longer than a price can be is none.
    return number if number.is_finite() and (number == 0 or -18 <= number.adjusted() <= 15) else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _kind_of(body: bytes) -> str:
    start = body[:64].lstrip().lower()
    if start.startswith(b"<"):
        return "it looks like HTML"
    return "it is empty" if not start else "it may have been cut short"
