"""Counts attempts by name within a sliding window, in memory, and says when the next one may come.

Each process counts for itself: that slows guessing down, which is all it is for. The number of names is bounded; the
name that was quiet for longest is forgotten first.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

from common.clock import Clock
from common.errors import TooManyRequests


class TooManyAttempts(TooManyRequests):
    """Too many attempts in a short time."""


class Throttle:
    """At most `limit` attempts a name in any `window_seconds`."""

    def __init__(self, clock: Clock, *, limit: int, window_seconds: float, names: int = 10_000) -> None:
        self._clock = clock
        self._limit = limit
        self._window_seconds = window_seconds
        self._names = names
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, name: str) -> None:
        """TooManyAttempts, with the seconds to wait, when a name has no attempt left."""
        attempts = self._recent(name)
        if len(attempts) >= self._limit:
            wait = attempts[0] + self._window_seconds - self._clock.monotonic()
            raise TooManyAttempts("too many attempts: try again later", retry_after_seconds=max(1, math.ceil(wait)))

    def note(self, name: str) -> None:
        """Count one attempt."""
        attempts = self._recent(name)
        attempts.append(self._clock.monotonic())
        self._attempts[name] = attempts
        self._attempts.move_to_end(name)
        while len(self._attempts) > self._names:
            self._attempts.popitem(last=False)

    def forgive(self, name: str) -> None:
        """Take the latest attempt back: it was a good one."""
        attempts = self._attempts.get(name)
        if attempts:
            attempts.pop()
        if not attempts:
            self._attempts.pop(name, None)

    def forget(self, name: str) -> None:
        """Take all attempts back."""
        self._attempts.pop(name, None)

    def __len__(self) -> int:
        return len(self._attempts)

    def _recent(self, name: str) -> deque[float]:
        attempts = self._attempts.get(name, deque())
        oldest = self._clock.monotonic() - self._window_seconds
        while attempts and attempts[0] <= oldest:
            attempts.popleft()
        return attempts
