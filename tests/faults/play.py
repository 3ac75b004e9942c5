"""Plays rounds: one stack for each kind of disk that the chosen faults need, failed seeds first."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .disks import Disks, can_mount
from .disks import Kind as DiskKind
from .loop import LoopThread
from .nemesis import Kind, kinds_named
from .report import Bar, failed_seeds
from .rounds import Outcome, Rounds
from .stack import Stack

_ON_DISKS: dict[DiskKind, tuple[str, ...]] = {
    "ordinary": (),
    "small": ("postgres", "nats", "redis"),
    "forgetful": ("postgres", "nats", "redis"),
}


def play(
    seeds: Sequence[int],
    calls: int,
    seconds: float,
    names: list[str],
    tree: Path | None = None,
    *,
    keep: bool = False,
    undurable: Sequence[str] = (),
) -> tuple[list[Outcome], list[str]]:
    """The outcome of every round, and notes on what could not be played here."""
    kinds = kinds_named(names)
    rounds = [(kind, seed) for seed in seeds for kind in kinds]
    kept = [(kind, seed) for name, seed in failed_seeds() for kind in kinds if kind.name == name]
    rounds = [*kept, *(one for one in rounds if one not in kept)]
    notes = []
    bar = Bar(len(rounds))
    outcomes: list[Outcome] = []
    for disk in _ON_DISKS:
        chosen = _ordered([one for one in rounds if one[0].disk == disk])
        why = can_mount(disk)
        if chosen and why is not None:
            notes += [f"not played: {kind.name} (seed {seed}): {why}" for kind, seed in chosen]
        elif chosen:
            outcomes += _play_on(Disks(disk, _ON_DISKS[disk], undurable), chosen, calls, seconds, tree, bar, keep=keep)
    return outcomes, notes


def _ordered(rounds: list[tuple[Kind, int]]) -> list[tuple[Kind, int]]:
    """What changes the stack for good comes last."""
    return sorted(rounds, key=lambda one: (one[0].before is not None) + 2 * one[0].rebuilds)


def _play_on(
    disks: Disks,
    rounds: list[tuple[Kind, int]],
    calls: int,
    seconds: float,
    tree: Path | None,
    bar: Bar,
    *,
    keep: bool,
) -> list[Outcome]:
    folder = Path(tempfile.mkdtemp(prefix="tollgate-faults-"))
    loop = LoopThread()
    outcomes = []
    try:
        bar.begin("starting")
        with Stack(folder, loop, disks, tree) as stack:
            playing = Rounds(stack, bar.say)
            for kind, seed in rounds:
                bar.begin(f"{kind.name} (seed {seed})")
                outcome = playing.play(kind, seed, calls, seconds)
                bar.end(outcome)
                outcomes.append(outcome)
    finally:
        loop.close()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept: {folder}")
    return outcomes
