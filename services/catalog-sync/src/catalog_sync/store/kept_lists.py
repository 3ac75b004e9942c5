"""Answers of the public list, kept in the cache Redis for five minutes.

An answer is kept in one of a fixed number of slots, with the question and the catalog's revision that it was made of;
another question in the slot or a newer revision make it worth nothing. So whatever strangers ask, no more than the slots
can fill that Redis, and a change of the catalog drops every answer at once, also when Redis is away while it happens.
Without Redis (not set, away, slow) every answer is made anew.
"""

from __future__ import annotations

import hashlib
from typing import cast

import redis.asyncio as redis
import structlog
from common.contracts.topology import catalog_list_key
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger()

_SLOTS = 512
_KEPT_SECONDS = 300
_MOST_BYTES = 1 << 20
_TIMEOUT_SECONDS = 0.25
_CONNECTIONS = 8
_SIGN_BYTES = 32


class KeptLists:
    """Keeps answers and gives them back; never fails."""

    def __init__(self, client: redis.Redis | None) -> None:
        self._redis = client

    @classmethod
    def at(cls, url: str | None) -> KeptLists:
        """In the Redis at a URL; without one nothing is kept."""
        if url is None:
            return cls(None)
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_TIMEOUT_SECONDS,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        return cls(redis.Redis.from_pool(pool))

    async def find(self, question: str, revision: str) -> bytes | None:
        """The answer to a question that was made of this revision."""
        if self._redis is None:
            return None
        key, sign = _place(question, revision)
        try:
            kept = cast("bytes | None", await self._redis.get(key))
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("list_cache_away", error=type(error).__name__)
            return None
        return kept[_SIGN_BYTES:] if kept is not None and kept[:_SIGN_BYTES] == sign else None

    async def keep(self, question: str, revision: str, answer: bytes) -> None:
        """Keep an answer, unless it is too large."""
        if self._redis is None or len(answer) > _MOST_BYTES:
            return
        key, sign = _place(question, revision)
        try:
            await self._redis.set(key, sign + answer, ex=_KEPT_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("list_cache_away", error=type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()


def _place(question: str, revision: str) -> tuple[str, bytes]:
    """The slot of a question, and the sign by which its answer of this revision is known."""
    slot = int.from_bytes(hashlib.sha256(question.encode()).digest()[:4]) % _SLOTS
    return catalog_list_key(slot), hashlib.sha256(f"{revision}\n{question}".encode()).digest()
