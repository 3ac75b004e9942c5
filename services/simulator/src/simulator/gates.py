"""Answers held back until they are let go: a test that needs a call in flight says so, instead of guessing how slow.

A gate is a name: calls whose directive is `held=<name>` wait before it, and one order lets through all that wait and
all that come later.
"""

from __future__ import annotations

import asyncio

MOST_GATES = 1_000
"""Of more, the oldest is forgotten: whoever waits there goes on after the longest hold."""
LONGEST_HOLD_SECONDS = 60.0
"""After so long a call goes on by itself: a test that broke off holds nothing for ever."""


class Gates:
    """The gates by their names. Calls and orders may come in either order."""

    def __init__(self) -> None:
        self._gates: dict[str, asyncio.Event] = {}

    def gate(self, name: str) -> asyncio.Event:
        """What is set once the calls held by this name may go on."""
        if name not in self._gates and len(self._gates) >= MOST_GATES:
            del self._gates[next(iter(self._gates))]
        return self._gates.setdefault(name, asyncio.Event())

    def release(self, name: str) -> None:
        """Let go whoever is held by this name, now or later."""
        self.gate(name).set()
