"""Sources that are one public document: its URL, and who reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.http.fetch import Fetch

from catalog_sync.domain.listing import ListedModel
from catalog_sync.domain.vetting import Standing


@dataclass(frozen=True, slots=True)
class Published:
    """A document that is fetched and parsed; `parse` raises SourceUnreadable for what is none."""

    name: str
    standing: Standing
    fetch: Fetch
    url: str
    parse: Callable[[bytes], tuple[ListedModel, ...]]

    async def read(self) -> tuple[ListedModel, ...]:
        """Every model that it lists; SourceUnreadable."""
        return self.parse(await self.fetch(self.url))
