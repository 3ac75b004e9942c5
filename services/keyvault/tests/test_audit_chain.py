"""The audit trail's chain of hashes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyvault.domain.actors import Actor
from keyvault.domain.audit import Act, AuditEntry, Link, chained, first_broken, hash_of

AT = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def chain(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    last = Link()
    for number in range(length):
        act = Act(Actor("user-1", origin="127.0.0.1"), "key.created", f"key-{number}", {"name": str(number)})
        entry = chained(act, AT + timedelta(seconds=number), last)
        entries.append(entry)
        last = Link(entry.id, entry.hash)
    return entries


def test_an_untouched_chain_holds() -> None:
    assert first_broken(chain(10), Link())[0] is None


def test_a_chain_can_be_verified_in_pieces() -> None:
    entries = chain(10)
    broken, last = first_broken(entries[:4], Link())
    assert broken is None
    assert first_broken(entries[4:], last) == (None, Link(10, entries[-1].hash))


CHANGES: list[dict[str, Any]] = [
    {"actor": "somebody-else"},
    {"action": "key.deleted"},
    {"subject": "key-0"},
    {"origin": None},
    {"detail": {"name": "x"}},
    {"at": AT},
    {"hash": "f" * 64},
    {"previous_hash": "f" * 64},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_entry_is_found(change: dict[str, Any]) -> None:
    entries = chain(10)
    entries[6] = replace(entries[6], **change)
    assert first_broken(entries, Link())[0] == 7


@given(st.sampled_from(CHANGES[:6]), st.integers(1, 9))
def test_an_entry_changed_and_hashed_again_is_found_at_the_next(change: dict[str, Any], place: int) -> None:
    entries = chain(11)
    changed = replace(entries[place], **change)
    if changed == entries[place]:
        return
    entries[place] = replace(changed, hash=hash_of(changed))
    assert first_broken(entries, Link())[0] == place + 2


@given(st.integers(0, 8))
def test_a_removed_entry_is_found(place: int) -> None:
    entries = chain(10)
    del entries[place]
    assert first_broken(entries, Link())[0] == place + 1


def test_swapped_entries_are_found() -> None:
    entries = chain(10)
    entries[3], entries[4] = entries[4], entries[3]
    assert first_broken(entries, Link())[0] == 4


def test_the_time_zone_an_instant_is_read_in_does_not_matter() -> None:
    [entry] = chain(1)
    assert hash_of(replace(entry, at=entry.at.astimezone(timezone(timedelta(hours=5))))) == entry.hash
