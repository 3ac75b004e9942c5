"""What counters are called: a scope and a period, as usage events, Redis and the database name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from common.periods import PeriodKind, counter_name

_UTC = "UTC"
_LABELS: Mapping[PeriodKind, str] = {
    "daily": r"\d{4}-\d{2}-\d{2}",
    "weekly": r"\d{4}-W\d{2}",
    "monthly": r"\d{4}-\d{2}",
    "total": "total",
}
_PERIOD = re.compile(rf"(?:{'|'.join(_LABELS.values())})(?:@[A-Za-z0-9_+/-]+)?")


class Counter(NamedTuple):
    """A scope (`user:<id>/provider:<type>`) and a period (`2026-W47@Europe/Berlin`)."""

    scope: str
    period: str

    @property
    def name(self) -> str:
        """`<scope>:<period>`, as events name it."""
        scope, period = self
        return counter_name(scope, period)


class Span(NamedTuple):
    """A kind of period in a zone: what a budget counts by."""

    kind: PeriodKind
    zone: str

    @property
    def pattern(self) -> str:
        """A regular expression (Python's and Postgres's) of the names of its periods, without anchors."""
        zone = "" if self.zone == _UTC or self.kind == "total" else re.escape(f"@{self.zone}")
        return _LABELS[self.kind] + zone


MONTHLY = Span("monthly", _UTC)


def counter_named(name: str) -> Counter | None:
    """The counter that a name means; None for what is none."""
    scope, _, period = name.rpartition(":")
    return Counter(scope, period) if scope and _PERIOD.fullmatch(period) else None


def names_pattern(scope: str, span: Span) -> str:
    """A regular expression (Python's and Postgres's) of all counter names of a scope and span."""
    return f"^{re.escape(scope)}:{span.pattern}$"
