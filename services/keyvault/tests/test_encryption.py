"""Encryption at rest: what opens, and what must not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from common.secret import Secret
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from keyvault.domain.encryption import (
    Binding,
    Keyring,
    SecretUnreadable,
    UnknownMasterKey,
    check_master_key,
    kid_of,
)

OLD, NEW = (Secret(Fernet.generate_key().decode()) for _ in range(2))
HERE = Binding("system", "row-1", "openai", "api.openai.com")
STORED = Keyring([NEW]).encrypt(Secret("sk-very-secret"), HERE)


@given(st.text(max_size=200))
@settings(max_examples=50)
def test_what_is_encrypted_opens_again(text: str) -> None:
    keyring = Keyring([NEW, OLD])
    assert keyring.decrypt(keyring.encrypt(Secret(text), HERE), HERE).reveal() == text


def test_the_stored_form_names_its_form_and_master_key_and_hides_the_rest() -> None:
    form, kid, token = STORED.split(".")
    assert (form, kid) == ("f1", kid_of(NEW))
    assert "sk-very-secret" not in token
    assert kid not in NEW.reveal()


@given(st.integers(0, len(STORED) * 8 - 1))
@settings(max_examples=400, deadline=None)
def test_no_bit_of_the_stored_form_can_be_flipped(bit: int) -> None:
    flipped = bytearray(STORED.encode())
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecretUnreadable):
        Keyring([NEW, OLD]).decrypt(flipped.decode("latin-1"), HERE)


@pytest.mark.parametrize("length", [1, 16, 32, 48])  # with and without padding
def test_no_other_spelling_of_the_same_bytes_opens(length: int) -> None:
    stored = Keyring([NEW]).encrypt(Secret("s" * length), HERE)
    body = stored.rstrip("=")
    padding = stored[len(body) :]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [body[:-1] + other + padding for other in alphabet.replace(body[-1], "")]
    others += [stored + "=", stored + "\n", body + " " + padding, body[:40] + "!" + body[40:] + padding]
    for other in others:
        with pytest.raises(SecretUnreadable):
            Keyring([NEW]).decrypt(other, HERE)


@pytest.mark.parametrize(
    "change", [{"tenant": "user-7"}, {"row": "row-2"}, {"provider": "groq"}, {"host": "evil.test"}]
)
def test_a_ciphertext_moved_to_another_row_does_not_open(change: dict[str, str]) -> None:
    with pytest.raises(SecretUnreadable):
        Keyring([NEW]).decrypt(STORED, replace(HERE, **change))


def test_the_newest_master_key_encrypts_and_an_older_one_still_opens_what_it_made() -> None:
    kept = Keyring([OLD]).encrypt(Secret("s"), HERE)
    both = Keyring([NEW, OLD])
    assert both.decrypt(kept, HERE).reveal() == "s"
    assert both.encrypt(Secret("s"), HERE).split(".")[1] == kid_of(NEW)


def test_rows_of_a_master_key_that_is_missing_are_noticed() -> None:
    Keyring([NEW, OLD]).check([kid_of(OLD), kid_of(NEW)])
    with pytest.raises(UnknownMasterKey, match=kid_of(OLD)):
        Keyring([NEW]).check([kid_of(OLD), kid_of(NEW)])


@pytest.mark.parametrize(
    "stored", ["", "f1", "f1.x", "sk-plain-text", "g1.12345678.abcd", f"f1.{kid_of(NEW)}.", "...."], ids=range(7)
)
def test_what_has_not_our_form_does_not_open(stored: str) -> None:
    with pytest.raises(SecretUnreadable):
        Keyring([NEW]).decrypt(stored, HERE)


@pytest.mark.parametrize("text", ["", "short", "ü" * 44, "A" * 44 + "=", "!" * 44])
def test_what_is_no_master_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="Fernet keys") as refusal:
        check_master_key(text)
    assert not text or text not in str(refusal.value)
