"""The text of virtual keys."""

from __future__ import annotations

import hashlib
import re

import pytest
from common.secret import Secret
from hypothesis import given
from hypothesis import strategies as st
from keyvault.domain.key_text import (
    ImpossibleKey,
    generate_key,
    has_checksum,
    imported_key,
    key_from,
    last4_of,
    sha256_of,
)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_has_the_same_form_and_its_checksum_holds(random: bytes) -> None:
    text = key_from(random).reveal()
    assert re.fullmatch(r"tg_[0-9A-Za-z]{49}", text)
    assert has_checksum(text)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_different_bytes_make_different_keys(one: bytes, other: bytes) -> None:
    assert (key_from(one).reveal() == key_from(other).reveal()) == (one == other)


@given(st.binary(min_size=32, max_size=32), st.integers(3, 51), st.sampled_from("0aZ9kQ"))
def test_a_mistyped_key_fails_its_checksum(random: bytes, place: int, character: str) -> None:
    text = key_from(random).reveal()
    mistyped = text[:place] + character + text[place + 1 :]
    assert has_checksum(mistyped) == (mistyped == text)


def test_generated_keys_are_never_the_same() -> None:
    assert len({generate_key().reveal() for _ in range(1_000)}) == 1_000


def test_a_key_is_kept_as_its_sha256_and_shown_by_its_end() -> None:
    key = Secret("test-key-12345")
    assert sha256_of(key) == hashlib.sha256(b"test-key-12345").hexdigest()
    assert last4_of(key) == "2345"


@pytest.mark.parametrize(
    "text", ["short77", "x" * 513, "with a space", "with\nbreak", "naïve-key", "nul\x00nul-key", ""]
)
def test_an_impossible_imported_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ImpossibleKey) as refusal:
        imported_key(text)
    assert not text or text not in str(refusal.value)


def test_an_imported_key_may_be_any_printable_word() -> None:
    assert imported_key("test-key-12345").reveal() == "test-key-12345"
