"""What is generated from the code is what the code generates: the contracts, their page, the example of settings."""

from __future__ import annotations

from common.contracts.generate import differences

from .providers_page import PAGE, render
from .tree import ROOT


def test_the_page_of_providers_says_what_is_there_and_tested() -> None:
    assert (ROOT / PAGE).read_text("utf-8") == render(), "run: make docs"
    assert "untested" not in render()


def test_every_generated_file_is_up_to_date() -> None:
    assert differences(ROOT) == [], "run: make contracts"
