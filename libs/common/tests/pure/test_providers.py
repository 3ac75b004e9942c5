"""The table of providers: each row can be called, and credentials cannot break out of their header."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from common.providers.auth import AUTH_SCHEMES, check_secret
from common.providers.registry import NEEDS_NO_KEY, PROVIDERS, ProviderRow, makers_of
from hypothesis import given
from hypothesis import strategies as st

ROWS = list(PROVIDERS.values())
WITHOUT_ADDRESS = {"azure", "custom", "vertex"}
"""Everybody's own is different."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.type)
def test_a_row_says_where_and_how_a_provider_is_called(row: ProviderRow) -> None:
    assert row.auth in AUTH_SCHEMES
    assert row.env.endswith(("_API_KEY", "_TOKEN", "_BEARER_TOKEN_BEDROCK"))
    assert row.display_name
    if NEEDS_NO_KEY in row.flags:
        assert urlsplit(row.base_url).hostname == "localhost"
    elif row.type not in WITHOUT_ADDRESS:
        assert urlsplit(row.base_url).scheme == "https"
    if row.type != "custom" and NEEDS_NO_KEY not in row.flags:
        assert urlsplit(row.key_url).scheme == "https"
    assert not row.base_url.endswith("/")


def test_types_and_variables_are_each_used_once() -> None:
    assert len({row.env for row in ROWS}) == len({row.type for row in ROWS}) == len(ROWS)
    assert {"openai", "groq", "together", "mistral", "openrouter", "deepseek", "custom"} <= set(PROVIDERS)


@pytest.mark.parametrize(
    ("model", "makers"),
    [
        ("gpt-4o", {"openai"}),
        ("o3-mini", {"openai"}),
        ("mistral-large-latest", {"mistral"}),
        ("deepseek-chat", {"deepseek"}),
        ("llama-3.3-70b", set()),
        ("", set()),
    ],
)
def test_a_models_maker_is_known_by_its_name(model: str, makers: set[str]) -> None:
    assert makers_of(model) == makers


@given(st.text())
def test_a_secret_that_passes_cannot_end_its_header(secret: str) -> None:
    try:
        check_secret(secret)
    except ValueError:
        return
    [(name, value)] = AUTH_SCHEMES["bearer"](secret)
    assert name == b"authorization"
    assert value == b"Bearer " + secret.encode()
    assert not set(value) & set(b"\r\n\0")


def test_a_secret_that_is_refused_is_not_repeated() -> None:
    with pytest.raises(ValueError) as caught:
        check_secret("sk-live 0123456789")
    assert "0123456789" not in str(caught.value)


def test_each_scheme_shows_the_secret_its_own_way() -> None:
    assert AUTH_SCHEMES["api-key"]("abc") == ((b"api-key", b"abc"),)
    assert AUTH_SCHEMES["x-goog-api-key"]("abc") == ((b"x-goog-api-key", b"abc"),)
    assert AUTH_SCHEMES["x-api-key"]("abc") == ((b"x-api-key", b"abc"),)
    assert AUTH_SCHEMES["none"]("abc") == ()
    assert AUTH_SCHEMES["optional-bearer"]("abc") == AUTH_SCHEMES["bearer"]("abc")
    assert AUTH_SCHEMES["optional-bearer"]("") == ()
