"""The names of counters in Redis: the public one of a key's month, and the general one of everything else."""

from __future__ import annotations

import pytest
from common.contracts.topology import cost_key, counter_suffix, held_key, quota_key


@pytest.mark.parametrize(
    ("scope", "period", "suffix"),
    [
        ("key:k1", "2026-11", "k1:2026:11"),
        ("key:k1", "2026-11-21", "key:k1:2026-11-21"),
        ("key:k1", "2026-11@Europe/Berlin", "key:k1:2026-11@Europe/Berlin"),
        ("user:u1", "2026-11", "user:u1:2026-11"),
        ("user:u1/provider:openai", "2026-W47", "user:u1/provider:openai:2026-W47"),
        ("global", "total", "global:total"),
    ],
)
def test_a_counter_is_named_by_its_scope_and_period(scope: str, period: str, suffix: str) -> None:
    assert counter_suffix(scope, period) == suffix


def test_the_public_names_of_a_keys_month_are_those_of_its_counter() -> None:
    suffix = counter_suffix("key:k1", "2026-11")
    assert (cost_key("k1", "2026-11"), held_key("k1", "2026-11")) == (f"cost:{suffix}", f"held:{suffix}")


def test_a_quota_is_counted_by_the_month() -> None:
    assert quota_key("user:u1", "2026-11") == "quota:user:u1:2026:11"
