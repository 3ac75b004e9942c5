"""How it goes and how it went: a progress bar while it lasts, a table at the end, and the seeds that failed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from .invariants import INVARIANTS, shown
from .rounds import Outcome

FAILED = Path(__file__).with_name("failed_seeds.json")
"""Seeds that once failed, by kind: `[["redis emptied", 7], …]`. They are played first, and stay for good."""
_WIDTH = 24


class Bar:
    """A line that is written over and over; on something that is no terminal, one line a round."""

    def __init__(self, total: int, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._total = total
        self._done = 0
        self._name = ""

    def begin(self, name: str) -> None:
        """A round begins."""
        self._name = name
        self.say("")

    def say(self, what: str) -> None:
        """How the round goes."""
        if self._out.isatty():
            filled = _WIDTH * self._done // max(1, self._total)
            bar = "#" * filled + "-" * (_WIDTH - filled)
            self._out.write(f"\r\x1b[K[{bar}] {self._done}/{self._total} {self._name} {what}")
            self._out.flush()

    def end(self, outcome: Outcome) -> None:
        """A round is over."""
        self._done += 1
        said = "good" if outcome.is_good else "BROKEN " + ", ".join(outcome.broken)
        clear = "\r\x1b[K" if self._out.isatty() else ""
        self._out.write(f"{clear}{self._done}/{self._total} {self._name}: {said} ({outcome.seconds:.0f} s)\n")
        for name, found in outcome.broken.items():
            for line in shown(found):
                self._out.write(f"    {name}: {line}\n")
        self._out.flush()


def table(outcomes: Sequence[Outcome], notes: Sequence[str]) -> str:
    """The rounds as a table for people, with what could not be played here."""
    head = (
        f"{'fault':<26} {'seed':>4} {'calls':>6} {'whole':>6} {'refused':>8} {'failed':>7} {'events':>7} {'s':>5}  held"
    )
    rows = [head, "-" * len(head)]
    for o in outcomes:
        held = "all" if o.is_good else "broken: " + ", ".join(o.broken)
        counts = f"{o.calls:>6} {o.complete:>6} {o.refused:>8} {o.failed:>7} {o.events:>7} {o.seconds:>5.0f}"
        rows.append(f"{o.kind:<26} {o.seed:>4} {counts}  {held}")
    good = sum(outcome.is_good for outcome in outcomes)
    calls = sum(outcome.calls for outcome in outcomes)
    rows += ["", f"{good} of {len(outcomes)} rounds held all of {', '.join(INVARIANTS)}; {calls} calls"]
    return "\n".join([*rows, *notes])


def failed_seeds() -> list[tuple[str, int]]:
    """What failed once: (kind, seed)."""
    return [(str(kind), int(seed)) for kind, seed in json.loads(FAILED.read_text())] if FAILED.exists() else []


def keep_failed(outcomes: Sequence[Outcome]) -> None:
    """Add the seeds that failed now."""
    known = failed_seeds()
    fresh = [(o.kind, o.seed) for o in outcomes if not o.is_good and (o.kind, o.seed) not in known]
    if fresh:
        rows = ",\n  ".join(json.dumps(list(row)) for row in [*known, *fresh])
        FAILED.write_text(f"[\n  {rows}\n]\n")
