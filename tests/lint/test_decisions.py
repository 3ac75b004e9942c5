"""Decisions are found by their number: each has its own, in its name and in its title, and none is missing."""

from __future__ import annotations

from .tree import ROOT

DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))


def test_decisions_are_numbered_without_gap_and_say_their_number() -> None:
    named = [int(path.name.partition("-")[0]) for path in DECISIONS]
    assert named == list(range(1, len(DECISIONS) + 1))
    titled = [path.read_text().partition(". ")[0] for path in DECISIONS]
    assert titled == [f"# {number}" for number in named]
