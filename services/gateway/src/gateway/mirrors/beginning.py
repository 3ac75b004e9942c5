"""When a gateway may begin: once its first catalog is in memory, whole.

On a fresh machine the mirrors have read buckets in which nothing stands yet, and the catalog then comes in one snapshot
at a time: providers, tier rules, models. A gateway that took calls meanwhile would refuse models that there are. Keys and
budgets may well be none at all: for them it is enough that their buckets were read to the end.
"""

from __future__ import annotations

from common.clock import Clock

from gateway.mirrors.catalog import Catalog

_QUIET_SECONDS = 0.1


class FirstCatalog:
    """Whether it is here. Once it was, it is: a catalog that changes later is a catalog all the same."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._generation = -1
        self._changed_at = 0.0
        self._is_here = False

    async def is_here(self) -> bool:
        """Models are there, and nothing more came for a moment. Asked again and again until it says so."""
        if not self._is_here:
            now, generation = self._clock.monotonic(), self._catalog.generation
            if generation != self._generation:
                self._generation, self._changed_at = generation, now
            has_models = next(self._catalog.models(), None) is not None
            self._is_here = has_models and now - self._changed_at >= _QUIET_SECONDS
        return self._is_here
