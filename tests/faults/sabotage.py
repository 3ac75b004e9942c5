"""`python -m tests.faults.sabotage`: plant each bug in a copy of the tree and show that the harness catches it.

The copy lives in a temporary folder and the services are started from there; this tree is never touched. First a round
without a bug, which must hold, for each fault: a harness that always fails catches everything.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from common.servers.errors import ServerError
from tollgate.errors import RunnerError

from .disks import can_mount
from .nemesis import kinds_named
from .play import play
from .sabotages import SABOTAGES, Sabotage

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Verdict:
    """What became of a planted bug: `caught` None when its fault cannot be played here."""

    sabotage: Sabotage
    caught: bool | None
    by: str


def main() -> int:
    """Plant, play, print; exit status 1 when one was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sabotage", description=__doc__)
    parser.add_argument("names", nargs="*", help="words of the bugs' names; all without")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rows = [one for one in SABOTAGES if not chosen.names or any(name in one.name for name in chosen.names)]
    verdicts = []
    sound: dict[str, set[str]] = {}
    for number, row in enumerate(rows, 1):
        if row.fault not in sound and not row.undurable:
            sound[row.fault] = _broken_by(Sabotage("nothing", row.fault), chosen.seed, chosen.calls, chosen.seconds)
        verdict = _try(row, chosen.seed, chosen.calls, chosen.seconds, sound.get(row.fault, set()))
        word = {True: "caught", False: "MISSED", None: "not played"}[verdict.caught]
        print(f"{number:>2}/{len(rows)} {word:<10} {row.name:<58} {row.fault:<24} {verdict.by}", flush=True)
        verdicts.append(verdict)
    caught = sum(verdict.caught is True for verdict in verdicts)
    print(f"\n{caught} of {len(verdicts)} caught")
    return 1 if any(verdict.caught is False for verdict in verdicts) else 0


def _try(row: Sabotage, seed: int, calls: int, seconds: float, sound: set[str]) -> Verdict:
    """Only what does not break without the bug counts."""
    [kind] = kinds_named([row.fault])
    if why := can_mount(kind.disk):
        return Verdict(row, None, why)
    try:
        broken = sorted(_broken_by(row, seed, calls, seconds) - sound)
    except (TimeoutError, ServerError, RunnerError) as error:
        return Verdict(row, True, f"never came back: {error}"[:80])
    return Verdict(row, bool(broken), ", ".join(broken))


def _broken_by(row: Sabotage, seed: int, calls: int, seconds: float) -> set[str]:
    with _planted(row) as tree, contextlib.redirect_stderr(io.StringIO()):
        outcomes, _ = play([seed], calls, seconds, [row.fault], tree, undurable=row.undurable)
    return {name for outcome in outcomes for name in outcome.broken}


@contextmanager
def _planted(row: Sabotage) -> Iterator[Path]:
    """A copy of the sources with the bug in it."""
    with tempfile.TemporaryDirectory(prefix="tollgate-sabotaged-") as name:
        tree = Path(name)
        for source in (ROOT / "libs/common/src", *ROOT.glob("services/*/src")):
            shutil.copytree(source, tree / source.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
        if row.file:
            place = tree / row.file
            place.write_text(row.plant(place.read_text()))
        yield tree


if __name__ == "__main__":
    sys.exit(main())
