"""Asking a provider whether a key works: one call of its cheapest endpoint that needs one. The only calls out.

No redirects, a deadline over everything, a bound on what is read; whatever comes back, the answer says only what we
know ourselves (a status, a count), so that no echo of the key can be in it.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from common.clock import Clock
from common.http.guarded import guarded_client
from common.providers.auth import AUTH_SCHEMES, signer_of
from common.providers.registry import ProviderRow
from common.secret import Secret
from common.urls import ForbiddenUrl, UrlRules

ProbeStatus = Literal["ok", "refused", "rate_limited", "failed", "unreachable", "timed_out"]

_DEADLINE_SECONDS = 10.0
_MAX_BODY_BYTES = 8 << 20
_LISTS = ("data", "models", "modelSummaries")
"""What providers call their list of models."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How it went; `models_found` where the answer was a list of models."""

    success: bool
    status: ProbeStatus
    message: str
    latency_ms: int
    models_found: int | None = None


class Probes:
    """Calls providers with a client that is shared and closed elsewhere."""

    def __init__(self, client: httpx2.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    @classmethod
    def client(cls, rules: UrlRules) -> httpx2.AsyncClient:
        """The client that probes want: guarded, since people may say where a provider is."""
        return guarded_client(rules, _DEADLINE_SECONDS)

    async def ask(self, row: ProviderRow, base_url: str, secret: Secret) -> ProbeResult:
        """Call a provider at a base URL with a key."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                status, body = await self._get(row, base_url, secret)
        except (TimeoutError, httpx2.TimeoutException):
            return _ended(started, "timed_out", f"{row.display_name} did not answer within {_DEADLINE_SECONDS:.0f} s")
        except ForbiddenUrl as error:
            return _ended(started, "unreachable", f"{row.display_name} may not be called there: it {error.message}")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return _ended(started, "unreachable", f"{row.display_name} cannot be reached ({type(error).__name__})")
        return _judged(row, started, status, body)

    async def _get(self, row: ProviderRow, base_url: str, secret: Secret) -> tuple[int, bytes]:
        url = row.probe_url(base_url)
        parts = urlsplit(url)
        sign = signer_of(row.auth, secret.reveal(), parts.netloc, "GET")
        shown = AUTH_SCHEMES[row.auth](secret.reveal())
        shown += sign(parts.path, b"", self._clock.now()) if sign is not None else ()
        headers = {**dict(row.headers), **{name.decode(): value.decode() for name, value in shown}}
        async with self._client.stream("GET", url, headers=headers) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    raise httpx2.ReadError("the answer is too long")
            return response.status_code, bytes(body)


def _judged(row: ProviderRow, started: float, status: int, body: bytes) -> ProbeResult:
    name = row.display_name
    if status == 200:
        found = _models(body)
        listed = "" if found is None else f": {found} models"
        return _ended(started, "ok", f"{name} takes this key{listed}", found)
    if status in (401, 403):
        return _ended(started, "refused", f"{name} refuses this key (HTTP {status})")
    if status == 429:
        return _ended(started, "rate_limited", f"{name} asks to slow down (HTTP 429): the key was not judged")
    return _ended(started, "failed", f"{name} answered HTTP {status}")


def _models(body: bytes) -> int | None:
    try:
        content: Any = json.loads(body)
    except ValueError:
        return None
    listed = next((content[name] for name in _LISTS if name in content), None) if isinstance(content, dict) else content
    return len(listed) if isinstance(listed, list) else None


def _ended(started: float, status: ProbeStatus, message: str, models_found: int | None = None) -> ProbeResult:
    latency_ms = round((time.perf_counter() - started) * 1000)
    return ProbeResult(status == "ok", status, message, latency_ms, models_found)
