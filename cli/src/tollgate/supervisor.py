"""Keeps child processes running: starts them, restarts what crashes, stops all of them.

A crashed unit comes back after a fifth of a second, then after ever longer pauses up to ten seconds; one that has run
for half a minute has earned its short pause again. All of it happens in the main thread, in `poll`: children must be
started there (`common.servers.child`), and one thread needs no locks. What the units are and in which order they go is
`stack`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from common.errors import TollgateError
from common.servers.child import Child, describe_exit, kill_group

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STABLE_SECONDS = 30.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Unit:
    """One thing to keep running. `start` may take a while (a server until it answers); it raises TollgateError."""

    name: str
    start: Callable[[], Child]
    grace_seconds: float = 10.0


@dataclass
class _Watched:
    unit: Unit
    child: Child | None
    started_at: float
    crashes: int = 0
    due_at: float = 0.0


class Supervisor:
    """Watches units. `say` gets a line when one crashes or comes back, `on_change` the pids of all that run."""

    def __init__(
        self,
        say: Callable[[str], None],
        on_change: Callable[[Mapping[str, int]], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._on_change = on_change
        self._monotonic = monotonic
        self._watched: dict[str, _Watched] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Of each unit that runs now, the process."""
        return {name: each.child.pid for name, each in self._watched.items() if each.child is not None}

    def start(self, unit: Unit) -> Child:
        """Start a unit and watch it from now on; raises what its start raises."""
        child = unit.start()
        self._watched[unit.name] = _Watched(unit, child, self._monotonic())
        self._on_change(self.pids)
        return child

    def poll(self) -> None:
        """Look at every unit once: note what has crashed, start again what is due."""
        for each in self._watched.values():
            if each.child is None:
                self._restart_when_due(each)
            elif (code := each.child.exit_code()) is not None:
                self._note_crash(each, each.child, code)
            elif each.crashes and self._monotonic() - each.started_at > STABLE_SECONDS:
                each.crashes = 0

    def stop(self, names: Sequence[str], is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Stop these units together: ask all, wait for each as long as it may take, kill what is left."""
        going = [self._watched.pop(name) for name in names if name in self._watched]
        running = [(each.unit, each.child) for each in going if each.child is not None]
        for _, child in running:
            child.request_stop()
        began = self._monotonic()
        for unit, child in running:
            while child.exit_code() is None and self._monotonic() - began < unit.grace_seconds and not is_hurried():
                time.sleep(_POLL_SECONDS)
            if child.exit_code() is None:
                self._say(f"{unit.name} did not stop in time and was killed (log: {child.log_path})")
            child.end()
        self._on_change(self.pids)

    def _note_crash(self, each: _Watched, child: Child, code: int) -> None:
        kill_group(child.pid)  # what it may have left
        each.child = None
        pause = self._next_pause(each)
        self._say(
            f"{each.unit.name} ended with {describe_exit(code)}, starting it again in {pause:g} s (log: {child.log_path})"
        )
        self._on_change(self.pids)

    def _restart_when_due(self, each: _Watched) -> None:
        if self._monotonic() < each.due_at:
            return
        try:
            each.child = each.unit.start()
        except TollgateError as error:
            self._say(f"{each.unit.name} does not start: {error}; next try in {self._next_pause(each):g} s")
            return
        each.started_at = self._monotonic()
        self._on_change(self.pids)

    def _next_pause(self, each: _Watched) -> float:
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(each.crashes, 10), LONGEST_PAUSE_SECONDS)
        each.crashes += 1
        each.due_at = self._monotonic() + pause
        return pause
