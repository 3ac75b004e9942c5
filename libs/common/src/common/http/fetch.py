"""Fetching what strangers publish: bounded in time and bytes, no redirect followed, no way indoors.

Where a name may lead is judged at each connection (`common.http.guarded`). Compressed answers are not asked for, so that a
few bytes cannot become many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import httpx2

from common.errors import Unavailable
from common.http.guarded import guarded_client
from common.urls import ForbiddenUrl, UrlRules

Fetch = Callable[[str], Awaitable[bytes]]
"""From a URL to what stands there; SourceUnreadable."""

_DEADLINE_SECONDS = 30.0
_MOST_BYTES = 24 << 20


class SourceUnreadable(Unavailable):
    """A source could not be fetched, or what it gave makes no sense; says why, without address, header or body."""

    code = "source_unreadable"


class Fetcher:
    """Fetches over HTTP what the rules allow; holds no connection open between two fetches."""

    def __init__(
        self, rules: UrlRules, *, deadline_seconds: float = _DEADLINE_SECONDS, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._rules = rules
        self._deadline_seconds = deadline_seconds
        self._most_bytes = most_bytes

    async def __call__(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200; SourceUnreadable, in words without the URL or any header, for anything else."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._get(url, headers or {})
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise SourceUnreadable(f"it did not answer whole within {self._deadline_seconds:g} s") from error
        except ForbiddenUrl as error:
            raise SourceUnreadable(f"its address {error.message}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise SourceUnreadable(f"it cannot be reached ({type(error).__name__})") from error

    async def _get(self, url: str, headers: Mapping[str, str]) -> bytes:
        sent = {**headers, "accept": "application/json", "accept-encoding": "identity"}
        async with (
            guarded_client(self._rules, self._deadline_seconds) as client,
            client.stream("GET", url, headers=sent) as answer,
        ):
            if answer.status_code != 200:
                raise SourceUnreadable(_refusal(answer.status_code))
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise SourceUnreadable("it sent a compressed answer, which was not asked for")
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > self._most_bytes:
                    raise SourceUnreadable(f"it sent more than {self._most_bytes >> 10} KiB")
            return bytes(body)


def _refusal(status: int) -> str:
    return "it redirects elsewhere, which is not followed" if 300 <= status < 400 else f"it answered HTTP {status}"
