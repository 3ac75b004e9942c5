"""What is generated from the code is what the code generates: the contracts, their page, the example of settings."""

from __future__ import annotations

from common.contracts.generate import differences

from .tree import ROOT


def test_every_generated_file_is_up_to_date() -> None:
    assert differences(ROOT) == [], "run: make contracts"
