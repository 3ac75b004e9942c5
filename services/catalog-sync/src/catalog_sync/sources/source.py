"""What a source is to the flows: a name, and a way to read everything it lists."""

from __future__ import annotations

from typing import Protocol

from catalog_sync.domain.listing import ListedModel
from catalog_sync.domain.vetting import Standing


class Source(Protocol):
    """One source; its `name` stands beside everything that came from it."""

    @property
    def name(self) -> str:
        """What it is called in records and requests."""
        ...

    @property
    def standing(self) -> Standing:
        """How far it is believed."""
        ...

    async def read(self) -> tuple[ListedModel, ...]:
        """Fetch and parse everything it lists; SourceUnreadable when that cannot be done."""
        ...
