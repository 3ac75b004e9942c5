"""`python -m tests.faults`: play kinds of faults and print a table; exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import structlog

from .play import play
from .report import keep_failed, table


def main() -> int:
    """Parse, play, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", default="1", help="how many seeds, or a list: 5 or 7,19")
    parser.add_argument("--calls", type=int, default=400, help="calls a round")
    parser.add_argument("--seconds", type=float, default=12.0, help="over how long they are spread")
    parser.add_argument("--kinds", default="", help="words of the kinds' names, comma-separated; all without")
    parser.add_argument("--tree", type=Path, help="run the services of another tree")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and files")
    chosen = parser.parse_args()
    # The harness's own connections are broken all the time; that is no news.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    outcomes, notes = play(
        seeds=_seeds(chosen.seeds),
        calls=chosen.calls,
        seconds=chosen.seconds,
        names=[name.strip() for name in chosen.kinds.split(",") if name.strip()],
        tree=chosen.tree,
        keep=chosen.keep,
    )
    if chosen.tree is None:
        keep_failed(outcomes)
    print(table(outcomes, notes))
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _seeds(text: str) -> list[int]:
    """`5` → 1 to 5; `7,19` or `7,` → those."""
    if "," in text:
        return [int(part) for part in text.split(",") if part]
    return list(range(1, int(text) + 1))


if __name__ == "__main__":
    sys.exit(main())
