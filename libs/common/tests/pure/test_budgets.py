"""Which budgets a call counts in, and when they let it pass."""

from __future__ import annotations

import pytest
from common.budgets import (
    Budget,
    Mode,
    Standing,
    attempt_scopes,
    call_scopes,
    is_attempt_scope,
    monthly_budget,
    quota_scope,
    verdict,
)
from common.contracts.snapshots import BudgetSnapshot
from common.money import Money
from hypothesis import given
from hypothesis import strategies as st


def standing(limit: int, spent: int, held: int, mode: Mode = "hard", scope: str = "global") -> Standing:
    return Standing(Budget("b", scope, "daily", "UTC", mode, limit), spent, held)


STANDINGS = st.lists(
    st.builds(
        standing, st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.sampled_from(["hard", "soft"])
    ),
    max_size=4,
)


def test_a_call_has_the_scopes_of_its_key_user_team_and_of_everybody() -> None:
    assert call_scopes("k1", "u1", "t1") == ("key:k1", "user:u1", "team:t1", "global")
    assert call_scopes("k1", None, None) == ("key:k1", "global")


def test_an_attempt_has_the_scopes_of_its_provider_and_model_for_everybody_and_for_its_user() -> None:
    assert attempt_scopes(None, "openai", "gpt-4") == ("provider:openai", "model:openai/gpt-4")
    assert attempt_scopes("u1", "openai", "gpt-4") == (
        "provider:openai",
        "model:openai/gpt-4",
        "user:u1/provider:openai",
        "user:u1/model:openai/gpt-4",
    )


def test_only_scopes_of_a_place_depend_on_the_attempt() -> None:
    assert all(is_attempt_scope(scope) for scope in attempt_scopes("u1", "together", "meta/llama"))
    assert not any(is_attempt_scope(scope) for scope in call_scopes("k1", "u1", "t1"))


def test_a_quota_is_a_user_s_over_all_keys() -> None:
    assert quota_scope("k1", "u1") == "user:u1"
    assert quota_scope("k1", None) == "key:k1"


def test_a_limit_is_rounded_down_to_what_the_counters_hold() -> None:
    assert monthly_budget("key:k1", Money.of("0.0000000019")).limit_nano == 1
    snapshot = BudgetSnapshot(id="b", scope="global", period="weekly", zone="Asia/Tokyo", limit=Money.of("2"))
    assert snapshot.to_budget() == Budget("b", "global", "weekly", "Asia/Tokyo", "hard", 2 * 10**9)


@given(STANDINGS, st.integers(0, 100))
def test_a_call_passes_exactly_when_every_hard_budget_has_room_for_its_worst_case(
    standings: list[Standing], worst: int
) -> None:
    hard = [one for one in standings if one.budget.mode == "hard"]
    fits = all(one.spent_nano + one.held_nano + worst <= one.budget.limit_nano for one in hard)
    assert verdict(standings, worst).is_allowed == fits


@given(STANDINGS, st.integers(0, 100))
def test_waiting_helps_exactly_when_no_refusing_budget_is_spent(standings: list[Standing], worst: int) -> None:
    found = verdict(standings, worst)
    if found.is_allowed:
        assert found.rule is None
        return
    assert found.rule in standings
    without_holds = [Standing(one.budget, one.spent_nano, 0) for one in standings]
    assert found.is_waiting == verdict(without_holds, worst).is_allowed


@pytest.mark.parametrize(
    ("standings", "rule"),
    [
        ([standing(10, 0, 10, scope="key:k1"), standing(10, 10, 0, scope="team:t1")], "team:t1"),
        ([standing(10, 9, 0, scope="key:k1"), standing(10, 12, 0, scope="team:t1")], "team:t1"),
        ([standing(10, 12, 0, "soft", "key:k1"), standing(10, 10, 0, scope="global")], "global"),
    ],
)
def test_the_rule_is_the_one_that_is_spent_most(standings: list[Standing], rule: str) -> None:
    refused = verdict(standings, 2).rule
    assert refused is not None
    assert refused.budget.scope == rule
