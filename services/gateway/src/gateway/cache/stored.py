"""Stored responses: what a client of `/v1/responses` may go on from, look at again and delete.

A response is found by its id, and by the ids of its items, which clients may name instead of sending them; who asks with
another virtual key finds nothing. Where the provider stores responses itself only its place is kept here. Bounded in size
(an entry of the cache), in age, and in number for each key: the oldest goes when there are too many.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from gateway.cache.sealed import SealedCache

LIFE_SECONDS = 30 * 86_400
MOST_OF_A_KEY = 10_000

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,256}")


class Place(msgspec.Struct, frozen=True):
    """Where a provider keeps a response: by which name it was called, instance, credential, and how many tokens the
    conversation has there (None: it did not say)."""

    name: str
    provider_id: str
    credential_id: str
    tokens: int | None


class StoredResponse(msgspec.Struct, frozen=True):
    """A response with the virtual key that it is of. Either its provider keeps it (`place`), or it is here: `items` are
    all items that it was made from."""

    owner: str
    id: str
    item_ids: tuple[str, ...] = ()
    place: Place | None = None
    body: bytes = b""
    items: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of what is here."""
        return len(self.body) + sum(map(len, self.items))


class TooMuchStored(Exception):
    """More is named than a request may be large."""


_decode = msgspec.msgpack.Decoder(StoredResponse).decode


@dataclass(frozen=True, slots=True)
class StoredResponses:
    """The stored responses of all keys. Every method raises RedisAway when the cache does not answer."""

    cache: SealedCache

    @property
    def is_up(self) -> bool:
        """Whether anything can be stored now."""
        return self.cache.is_up

    async def keep(self, response: StoredResponse) -> bool:
        """Store a response; False when it is too large."""
        if not await self.cache.keep(f"stored:{response.id}", msgspec.msgpack.encode(response), LIFE_SECONDS):
            return False
        named = response.id.encode()
        names = [f"stored-item:{item_id}" for item_id in response.item_ids]
        await asyncio.gather(*[self.cache.keep(name, named, LIFE_SECONDS) for name in names])
        oldest = await self.cache.rotate(f"stored-of:{response.owner}", response.id, MOST_OF_A_KEY, LIFE_SECONDS)
        if oldest is not None:
            await self.cache.drop(f"stored:{oldest}")
        return True

    async def find(self, owner: str, response_id: str) -> StoredResponse | None:
        """A key's response; None when there is none, or it is another's."""
        if not _ID.fullmatch(response_id):
            return None
        found = await self.cache.find(f"stored:{response_id}")
        with suppress(msgspec.DecodeError):
            stored = _decode(found) if found is not None else None
            if stored is not None and stored.owner == owner:
                return stored
        return None

    async def holding(self, owner: str, item_ids: Iterable[str], most_bytes: int) -> dict[str, StoredResponse]:
        """The responses of a key that hold items, by the items' ids; what is not found is left out. Raises TooMuchStored
        when they are larger than that together."""
        names = list(dict.fromkeys(item_ids))
        found = dict(zip(names, await asyncio.gather(*[self._response_of(name) for name in names]), strict=True))
        responses: dict[str | None, StoredResponse | None] = {None: None}
        for response_id in found.values():
            if response_id is not None and response_id not in responses:
                stored = responses[response_id] = await self.find(owner, response_id)
                most_bytes -= stored.size if stored is not None else 0
            if most_bytes < 0:
                raise TooMuchStored
        return {name: stored for name, response_id in found.items() if (stored := responses[response_id]) is not None}

    async def drop(self, response: StoredResponse) -> None:
        """Forget a response and its items."""
        await self.cache.drop(f"stored:{response.id}")
        for item_id in response.item_ids:
            await self.cache.drop(f"stored-item:{item_id}")

    async def _response_of(self, item_id: str) -> str | None:
        if not _ID.fullmatch(item_id):
            return None
        found = await self.cache.find(f"stored-item:{item_id}")
        return found.decode() if found is not None else None
