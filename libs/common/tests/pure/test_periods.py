"""Periods: each instant falls in exactly one, and its name says which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from common.periods import PeriodKind, counter_name, is_zone, period_at
from hypothesis import given
from hypothesis import strategies as st

ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo")
# hypothesis wants bounds without a zone
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("kind", "zone", "at", "name", "starts_at", "ends_at"),
    [
        ("daily", "UTC", "2026-11-21T23:59:59Z", "2026-11-21", "2026-11-21T00:00Z", "2026-11-22T00:00Z"),
        (
            "daily",
            "Europe/Berlin",
            "2026-11-21T23:30Z",
            "2026-11-22@Europe/Berlin",
            "2026-11-21T23:00Z",
            "2026-11-22T23:00Z",
        ),
        (
            "daily",
            "Europe/Berlin",
            "2026-03-29T12:00Z",
            "2026-03-29@Europe/Berlin",
            "2026-03-28T23:00Z",
            "2026-03-29T22:00Z",
        ),
        ("weekly", "UTC", "2027-01-03T10:00Z", "2026-W53", "2026-12-28T00:00Z", "2027-01-04T00:00Z"),
        ("monthly", "UTC", "2026-12-31T23:59Z", "2026-12", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
    ],
)
def test_a_period_is_named_and_bounded_by_its_zone(
    kind: PeriodKind, zone: str, at: str, name: str, starts_at: str, ends_at: str
) -> None:
    period = period_at(kind, zone, datetime.fromisoformat(at))
    assert (period.name, period.starts_at, period.ends_at) == (
        name,
        datetime.fromisoformat(starts_at),
        datetime.fromisoformat(ends_at),
    )


def test_a_total_has_no_end() -> None:
    period = period_at("total", "Europe/Berlin", datetime(2026, 1, 1, tzinfo=UTC))
    assert (period.name, period.starts_at, period.ends_at) == ("total", None, None)
    assert counter_name("global", period.name) == "global:total"


@given(kind=st.sampled_from(["daily", "weekly", "monthly"]), zone=st.sampled_from(ZONES), at=INSTANTS)
def test_periods_follow_each_other_without_gap_or_overlap(kind: PeriodKind, zone: str, at: datetime) -> None:
    period = period_at(kind, zone, at)
    assert period.starts_at is not None
    assert period.ends_at is not None
    assert period.starts_at <= at < period.ends_at
    after = period_at(kind, zone, period.ends_at)
    assert after.starts_at == period.ends_at
    assert after.name > period.name
    assert period_at(kind, zone, period.ends_at - timedelta(microseconds=1)).name == period.name


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("UTC", True), ("Europe/Berlin", True), ("Europe", False), ("Europe/Berlyn", False), ("../etc/passwd", False),
     ("", False), ("a\0b", False)],
)  # fmt: skip
def test_a_zone_is_known_by_its_name(name: str, is_one: bool) -> None:
    assert is_zone(name) is is_one
