"""The rules of virtual keys: who may set what, what the gateway is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from common.money import Money
from keyvault.domain.virtual_keys import (
    KeyTerms,
    LiveSecret,
    OnlyAdmins,
    VirtualKey,
    end_at_rotation,
    refuse_admin_members,
    refuse_raises,
    refuse_switching_on,
    snapshot_of,
    with_changes,
)

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LIMITED = KeyTerms(
    "k",
    rate_limit=10,
    token_limit=1_000,
    max_concurrency=2,
    monthly_budget=Decimal("5"),
    allowed_models=("gpt-4", "gpt-4o"),
    expires_at=LATER,
)


def secret(letter: str, expires_at: datetime | None = None) -> LiveSecret:
    return LiveSecret(letter * 64, letter * 4, NOW, expires_at)


def key(terms: KeyTerms = LIMITED, **more: Any) -> VirtualKey:
    return VirtualKey("key-1", terms, NOW, NOW, **{"secrets": (secret("a"),), **more})


@pytest.mark.parametrize("name", ["key", "tier", "user_id", "team_id"])
def test_what_only_admins_set_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(OnlyAdmins, match=name):
        refuse_admin_members({"name", name})
    refuse_admin_members({"name", "rate_limit", "monthly_budget"})


RAISES = [
    {"rate_limit": 11},
    {"rate_limit": None},
    {"token_limit": 1_001},
    {"token_limit": None},
    {"max_concurrency": 3},
    {"max_concurrency": None},
    {"monthly_budget": Decimal("5.000000001")},
    {"monthly_budget": None},
    {"allowed_models": ("gpt-4", "o1")},
    {"allowed_models": None},
    {"expires_at": LATER + timedelta(seconds=1)},
    {"expires_at": None},
]


@pytest.mark.parametrize("change", RAISES)
def test_a_raised_limit_is_refused_by_its_name(change: dict[str, Any]) -> None:
    with pytest.raises(OnlyAdmins, match=next(iter(change))):
        refuse_raises(LIMITED, replace(LIMITED, **change))


LOWERS = [
    {"rate_limit": 9},
    {"token_limit": 1},
    {"max_concurrency": 1},
    {"monthly_budget": Decimal(0)},
    {"allowed_models": ("gpt-4",)},
    {"allowed_models": ()},
    {"expires_at": NOW},
    {"name": "other"},
]


@pytest.mark.parametrize("change", LOWERS)
def test_a_tighter_limit_is_anybodys(change: dict[str, Any]) -> None:
    refuse_raises(LIMITED, replace(LIMITED, **change))


@pytest.mark.parametrize("change", LOWERS)
def test_a_limit_where_there_was_none_is_anybodys(change: dict[str, Any]) -> None:
    refuse_raises(KeyTerms("k"), replace(KeyTerms("k"), **change))


def test_a_user_cannot_switch_on_what_somebody_else_switched_off() -> None:
    off = key(replace(LIMITED, enabled=False), disabled_by="admin")
    with pytest.raises(OnlyAdmins, match="enabled"):
        refuse_switching_on(off, LIMITED, "user")
    refuse_switching_on(replace(off, disabled_by="user"), LIMITED, "user")
    refuse_switching_on(off, off.terms, "user")


def test_a_change_names_what_differs() -> None:
    changed, names = with_changes(LIMITED, {"name": "k", "rate_limit": 3, "metadata": {"a": 1}})
    assert names == ("rate_limit", "metadata")
    assert (changed.rate_limit, changed.metadata) == (3, {"a": 1})


def test_the_newest_secret_gets_the_grace_and_its_predecessor_none() -> None:
    old, newest = secret("b", LATER), secret("a")
    assert end_at_rotation(newest, newest, NOW, 60) == NOW + timedelta(seconds=60)
    assert end_at_rotation(old, newest, NOW, 60) == NOW
    assert end_at_rotation(newest, newest, NOW, 0) == NOW
    assert end_at_rotation(newest, newest, NOW, None) == NOW + timedelta(days=1)


def test_what_a_schedule_has_ended_is_cut_short_by_a_rotation_and_never_put_off() -> None:
    ending = secret("a", LATER)
    assert end_at_rotation(ending, ending, NOW, None) == LATER
    assert end_at_rotation(ending, ending, NOW, 0) == NOW
    assert end_at_rotation(ending, ending, NOW, 30 * 86_400) == LATER


def test_the_snapshot_has_every_limit_and_only_living_secrets() -> None:
    told = snapshot_of(key(secrets=(secret("a", NOW), secret("b", LATER), secret("c"))), NOW)
    assert [(each.sha256[0], each.expires_at) for each in told.secrets] == [("b", LATER), ("c", None)]
    assert (told.rate_limit, told.token_limit, told.max_concurrency) == (10, 1_000, 2)
    assert told.monthly_budget == Money(Decimal(5))
    assert told.allowed_models == ("gpt-4", "gpt-4o")
    assert told.expires_at == LATER


def test_a_key_takes_its_tier_from_its_owner_unless_it_has_its_own() -> None:
    assert snapshot_of(key(owner_tier="starter"), NOW).tier == "starter"
    assert snapshot_of(key(replace(LIMITED, tier="trial"), owner_tier="starter"), NOW).tier == "trial"
    assert snapshot_of(key(), NOW).tier is None


def test_a_key_is_switched_off_with_its_owner() -> None:
    assert not snapshot_of(key(owner_enabled=False), NOW).enabled
    assert key(owner_enabled=False).is_refused
    assert key(revoked_at=NOW).is_refused
    assert not key().is_refused


def test_the_end_of_a_key_is_the_newest_secrets() -> None:
    assert key(secrets=(secret("a", LATER), secret("b"))).last4 == "bbbb"
    assert key(secrets=()).last4 == ""
