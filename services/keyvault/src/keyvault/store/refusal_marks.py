"""The marks in Redis that turn a virtual key away at every gateway at once: `revoked:<key id>`.

A mark outlives by far the moment in which every mirror has the key's new state, and then goes by itself, so that marks
do not pile up in a Redis that money shares.
"""

from __future__ import annotations

import asyncio

import redis.asyncio as redis
from common.contracts.topology import DAY_SECONDS, revoked_key
from common.errors import Unavailable
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

_MARK_SECONDS = 30 * DAY_SECONDS
_ANSWER_SECONDS = 1.0
_WHOLE_SECONDS = 2.0
_CONNECTIONS = 8


class MarksAway(Unavailable):
    """Redis does not answer."""


class RefusalMarks:
    """Writes the marks; MarksAway when Redis does not take one."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    @classmethod
    def at(cls, url: str) -> RefusalMarks:
        """Of the Redis at a URL; connects at the first mark. One retry finds out that a pooled connection had died."""
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_ANSWER_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        return cls(redis.Redis.from_pool(pool))

    async def put(self, key_id: str) -> None:
        """Turn a key away from now on."""
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                await self._client.set(revoked_key(key_id), "1", ex=_MARK_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            raise MarksAway("Redis is away", retry_after_seconds=1) from error

    async def remove(self, key_id: str) -> None:
        """Let a key in again."""
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                await self._client.delete(revoked_key(key_id))
        except (RedisError, OSError, TimeoutError) as error:
            raise MarksAway("Redis is away", retry_after_seconds=1) from error

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()
