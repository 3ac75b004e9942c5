"""A planted bug must still have its place in the tree, and the round it is played in must exist."""

from __future__ import annotations

import pytest

from .nemesis import KINDS
from .sabotage import ROOT
from .sabotages import SABOTAGES, Sabotage


@pytest.mark.slow  # what it says of a tree is for whoever runs the harness: an ordinary change need not mind it
@pytest.mark.parametrize("row", SABOTAGES, ids=lambda row: row.name)
def test_a_planted_bug_has_its_place(row: Sabotage) -> None:
    assert row.fault in {kind.name for kind in KINDS}
    if row.file:
        text = (ROOT / row.file).read_text()
        assert row.plant(text) != text


def test_a_bug_without_its_place_is_told() -> None:
    row = Sabotage("a bug", "nothing", "a.py", "old", "planted")
    assert row.plant("an old line") == "an planted line"
    with pytest.raises(ValueError, match="holds 0"):
        row.plant("another line")
    with pytest.raises(ValueError, match="holds 2"):
        row.plant("old and old")
