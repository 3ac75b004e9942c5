"""The responses that one provider was asked to store: the latest thousand, in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from simulator.turns import Turn

MOST_KEPT = 1_000


class Kept(msgspec.Struct, frozen=True):
    """A stored response: its body as told, the input it was made from, and the whole conversation after it."""

    body: dict[str, Any]
    items: list[dict[str, Any]]
    turns: tuple[Turn, ...]
    calls: frozenset[str]


class Shelf:
    """Stored responses by id, and which items are in them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._items: dict[str, dict[str, Any]] = {}

    def put(self, kept: Kept) -> None:
        """Store a response; the oldest goes when there are too many."""
        self._kept[kept.body["id"]] = kept
        self._items |= {item["id"]: item for item in kept.body["output"]}
        while len(self._kept) > MOST_KEPT:
            self.take(next(iter(self._kept)))

    def get(self, response_id: str) -> Kept | None:
        """A stored response."""
        return self._kept.get(response_id)

    def item(self, item_id: str) -> dict[str, Any] | None:
        """An item of a stored response."""
        return self._items.get(item_id)

    def take(self, response_id: str) -> Kept | None:
        """Forget a response."""
        found = self._kept.pop(response_id, None)
        for item in found.body["output"] if found else ():
            self._items.pop(item["id"], None)
        return found
