"""The periods that budgets count in, and what the counters of a scope and period are called.

A period is named by when it begins, so that nothing ever needs resetting: the next one has another name. Days, weeks and
months are those of the budget's own time zone; UTC, the rule, is not named.

    daily 2026-11-21   weekly 2026-W47 (ISO)   monthly 2026-11   total total   in another zone: 2026-11@Europe/Berlin
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

PeriodKind = Literal["daily", "weekly", "monthly", "total"]

_UTC = "UTC"


@dataclass(frozen=True, slots=True)
class Period:
    """One day, week or month of a zone: from `starts_at` up to, not including, `ends_at`; None: for ever."""

    name: str
    starts_at: datetime | None
    ends_at: datetime | None


def period_at(kind: PeriodKind, zone: str, at: datetime) -> Period:
    """The period that an instant falls in; the instants are in UTC. ZoneInfoNotFoundError for an unknown zone."""
    if kind == "total":
        return Period("total", None, None)
    day = at.astimezone(ZoneInfo(zone)).date()
    first = _first_day(kind, day)
    suffix = "" if zone == _UTC else f"@{zone}"
    return Period(_label(kind, first) + suffix, _midnight(first, zone), _midnight(_next_first_day(kind, first), zone))


def is_zone(name: str) -> bool:
    """Whether a name is that of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the names of folders, and names that no file can have
        return False
    return True


def counter_name(scope: str, period: str) -> str:
    """`<scope>:<period>`, as the usage event names what its cost was counted in: `key:k1:2026-11`, `global:total`."""
    return f"{scope}:{period}"


def _first_day(kind: PeriodKind, day: date) -> date:
    if kind == "weekly":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if kind == "monthly" else day


def _next_first_day(kind: PeriodKind, first: date) -> date:
    if kind == "monthly":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if kind == "weekly" else 1)


def _label(kind: PeriodKind, first: date) -> str:
    if kind == "weekly":
        year, week, _ = first.isocalendar()
        return f"{year:04}-W{week:02}"
    return f"{first:%Y-%m}" if kind == "monthly" else first.isoformat()


def _midnight(day: date, zone: str) -> datetime:
    """The instant at which a day begins: after the gap where clocks are put forward over midnight."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
