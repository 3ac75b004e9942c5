"""Addresses, passwords, and slowing guesses down."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from common.testing.clocks import FixedClock
from hypothesis import given
from hypothesis import strategies as st
from keyvault.domain.accounts import (
    InvalidEmail,
    LastAdmin,
    User,
    clean_email,
    differing,
    refuse_losing_last_admin,
)
from keyvault.domain.passwords import NOBODYS_HASH, hash_password, is_password
from keyvault.flows.hashing import Hashing, TooManyLogins
from keyvault.flows.throttle import Throttle, TooManyAttempts

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ADMIN = User("a", "a@example.com", "", "", "admin", "enterprise", True, NOW, NOW)


@pytest.mark.parametrize("text", ["Me@Example.COM", " me@example.com ", "me@example.com", "ｍe@example.com"])
def test_an_address_has_one_spelling(text: str) -> None:
    assert clean_email(text) == "me@example.com"


@pytest.mark.parametrize(
    "text", ["", "me", "@", "me@", "@example.com", "a@b@c", "a b@c", "a\x00@b", "a" * 250 + "@b.cc"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidEmail):
        clean_email(text)


@given(st.text(max_size=300))
def test_cleaning_an_address_twice_changes_nothing(text: str) -> None:
    try:
        cleaned = clean_email(text)
    except InvalidEmail:
        return
    assert clean_email(cleaned) == cleaned


def test_a_password_is_recognised_and_another_is_not() -> None:
    stored = hash_password("correct horse")
    assert stored.startswith("$argon2id$")
    assert "correct horse" not in stored
    assert is_password(stored, "correct horse")
    assert not is_password(stored, "correct horsf")
    assert not is_password("not a hash", "correct horse")


def test_checking_nobodys_password_costs_what_any_other_does() -> None:
    hasher = PasswordHasher()
    costs = extract_parameters(NOBODYS_HASH)
    assert (costs.type, costs.time_cost, costs.memory_cost, costs.parallelism, costs.hash_len) == (
        hasher.type,
        hasher.time_cost,
        hasher.memory_cost,
        hasher.parallelism,
        hasher.hash_len,
    )
    assert not is_password(NOBODYS_HASH, "")


@pytest.mark.parametrize("changed", [{"role": "user"}, {"enabled": False}])
def test_the_last_admin_stays(changed: dict[str, Any]) -> None:
    with pytest.raises(LastAdmin):
        refuse_losing_last_admin(ADMIN, changed, ["a"])
    refuse_losing_last_admin(ADMIN, changed, ["a", "b"])
    refuse_losing_last_admin(ADMIN, {"tier": "trial"}, ["a"])


def test_only_what_differs_counts_as_a_change() -> None:
    assert differing(ADMIN, {"role": "admin", "tier": "trial"}) == {"tier": "trial"}


def test_an_account_does_not_print_its_hash() -> None:
    assert repr(User("a", "x@y", "", "$argon2id$hash", "user", "trial", True, NOW, NOW)) == "User(a)"


def attempts_left(throttle: Throttle, name: str) -> int:
    """How many attempts a name has before it is refused."""
    count = 0
    while True:
        try:
            throttle.check(name)
        except TooManyAttempts:
            return count
        throttle.note(name)
        count += 1


def test_the_attempt_after_the_last_is_refused_until_the_first_is_old_enough() -> None:
    clock = FixedClock()
    throttle = Throttle(clock, limit=3, window_seconds=60)
    for _ in range(3):
        throttle.check("a")
        throttle.note("a")
        clock.advance(10)
    with pytest.raises(TooManyAttempts) as refusal:
        throttle.check("a")
    assert refusal.value.retry_after_seconds == 30
    throttle.check("b")
    clock.advance(30)
    assert attempts_left(throttle, "a") == 1


def test_a_good_attempt_is_taken_back() -> None:
    throttle = Throttle(FixedClock(), limit=3, window_seconds=60)
    assert attempts_left(throttle, "a") == 3
    throttle.forgive("a")
    assert attempts_left(throttle, "a") == 1
    throttle.forget("a")
    assert attempts_left(throttle, "a") == 3
    throttle.forgive("never seen")


def test_a_throttle_remembers_a_bounded_number_of_names() -> None:
    throttle = Throttle(FixedClock(), limit=3, window_seconds=60, names=100)
    for number in range(1_000):
        throttle.note(str(number))
    assert len(throttle) == 100


async def test_few_hashes_run_at_once_and_a_flood_is_turned_away() -> None:
    running = most = 0
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(stored: str, password: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(timeout=10)
        running -= 1
        return True

    hashing = Hashing(check_one=slow)
    tasks = [asyncio.create_task(hashing.is_password("", "")) for _ in range(40)]
    await asyncio.sleep(0.1)
    gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 2
    assert outcomes.count(True) == 34
    assert sum(isinstance(outcome, TooManyLogins) for outcome in outcomes) == 6
    assert await hashing.is_password("", "")
