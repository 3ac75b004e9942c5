"""Entries of the cache Redis: nobody but a gateway reads or makes one, and none is larger than it may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis
from common.secret import Secret
from gateway.cache.answers import Answer
from gateway.cache.sealed import MAX_ENTRY_BYTES, SealedCache
from gateway.limits.redis import RedisAway, RedisLine
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[RedisLine]:
    """A connection."""
    made = RedisLine(redis_url, 1.0)
    task = asyncio.create_task(made.run())
    await made.connected.wait()
    yield made
    task.cancel()


async def test_an_entry_is_found_until_its_time_is_over(line: RedisLine) -> None:
    cache = SealedCache(line, Secret("token"))
    assert await cache.find("answer:a") is None
    assert await cache.keep("answer:a", b"content", 0.1)
    assert await cache.find("answer:a") == b"content"
    await asyncio.sleep(0.15)
    assert await cache.find("answer:a") is None


async def test_only_who_has_the_secret_reads_an_entry(line: RedisLine, redis_url: str) -> None:
    await SealedCache(line, Secret("token")).keep("answer:a", b"content", 10)
    assert await SealedCache(line, Secret("other")).find("answer:a") is None
    client = redis.from_url(redis_url)
    assert b"content" not in await client.get("answer:a")
    await client.aclose()


async def test_an_entry_counts_under_its_own_name_only(line: RedisLine, redis_url: str) -> None:
    cache = SealedCache(line, Secret("token"))
    await cache.keep("answer:a", b"content", 10)
    client = redis.from_url(redis_url)
    sealed = await client.get("answer:a")
    await client.set("answer:b", sealed)
    await client.set("answer:c", sealed[:-1] + bytes([sealed[-1] ^ 1]))
    await client.set("answer:d", b"short")
    await client.aclose()
    assert [await cache.find(f"answer:{name}") for name in "bcd"] == [None, None, None]


async def test_what_is_too_large_is_not_kept(line: RedisLine) -> None:
    cache = SealedCache(line, Secret("token"))
    assert await cache.keep("answer:a", bytes(MAX_ENTRY_BYTES), 10)
    assert not await cache.keep("answer:b", bytes(MAX_ENTRY_BYTES + 1), 10)
    assert await cache.find("answer:b") is None


async def test_without_a_redis_there_is_no_cache() -> None:
    cache = SealedCache(None, Secret("token"))
    assert not cache.is_up
    with pytest.raises(RedisAway):
        await cache.find("answer:a")


@given(
    st.text(max_size=64),
    st.integers(200, 599),
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5),
    st.binary(max_size=500),
)
def test_an_answer_reads_back_as_it_was(fingerprint: str, status: int, headers: Any, body: bytes) -> None:
    answer = Answer(fingerprint, status, headers, body)
    assert Answer.decode(answer.encode()) == answer


def test_what_is_no_answer_is_none() -> None:
    assert Answer.decode(b"\xc1") is None
    assert Answer.decode(b"[]") is None
