"""Which deployment a call tries next: each of its plan in turn, and the last of them once more after a moment.

A provider that could not be reached, or was overloaded, may well answer a moment later; where nobody else is left to ask it
is asked again, once, after a pause of random length, so that calls which failed together do not come back together. All
further tries are within the budget of `Health`, and one that rests is not asked again.
"""

from __future__ import annotations

import random

from gateway.providers.errors import ProviderFailed
from gateway.routing.health import Health
from gateway.routing.plan import Deployment

_SHORTEST_PAUSE_SECONDS, _FURTHER_SECONDS = 0.1, 0.3


class Tries:
    """The deployments of one call, in the order in which they are tried; `pause_seconds` before the next is asked."""

    __slots__ = ("_deployments", "_health", "_next", "pause_seconds")

    def __init__(self, deployments: tuple[Deployment, ...], health: Health) -> None:
        self._deployments = deployments
        self._health = health
        self._next = 0
        self.pause_seconds = 0.0

    def following(self, failure: ProviderFailed | None) -> Deployment | None:
        """The next deployment, after the last one failed so (None: none was asked); None when no try is left."""
        place, self.pause_seconds = self._next, 0.0
        count = len(self._deployments)
        if failure is not None:
            if place >= count and not self._may_repeat(place - count, failure):
                return None
            if not self._health.may_retry():
                return None
        elif place >= count:
            return None
        if place >= count:
            self.pause_seconds = _SHORTEST_PAUSE_SECONDS + random.random() * _FURTHER_SECONDS  # noqa: S311 - only spread
        self._next = place + 1
        return self._deployments[min(place, count - 1)]

    def _may_repeat(self, repeats: int, failure: ProviderFailed) -> bool:
        return not repeats and failure.row.passes_soon and not self._health.rests(self._deployments[-1])
