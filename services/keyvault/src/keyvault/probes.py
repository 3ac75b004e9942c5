"""Asking a provider whether a key works: one call of its cheapest endpoint that needs one. A service account of Google's is
exchanged for a token first, as the gateway does it: its file holds a private key, which is shown to nobody.

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
from common.http.guarded import guarded_client, read_bounded
from common.providers.auth import AUTH_SCHEMES, signer_of
from common.providers.registry import ProviderRow
from common.providers.service_account import TOKEN_URL, ServiceAccount
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
            account = ServiceAccount.parse(secret.reveal()) if row.auth == "google" else None
        except ValueError as error:
            return _ended(started, "refused", f"{row.display_name} cannot take this key: {error}")
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                status, token = (200, secret) if account is None else await self._exchanged(account)
                status, body = await self._get(row, base_url, token) if token is not None else (status, b"")
        except (TimeoutError, httpx2.TimeoutException):
            return _ended(started, "timed_out", f"{row.display_name} did not answer within {_DEADLINE_SECONDS:.0f} s")
        except ForbiddenUrl as error:
            return _ended(started, "unreachable", f"{row.display_name} may not be called there: it {error.message}")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return _ended(started, "unreachable", f"{row.display_name} cannot be reached ({type(error).__name__})")
        return _judged(row, started, status, body)

    async def _exchanged(self, account: ServiceAccount) -> tuple[int, Secret | None]:
        """The token that Google gives for an account, after its status; None: it gives none."""
        form = await asyncio.to_thread(account.request, self._clock.now())  # signing takes milliseconds
        headers = {"content-type": "application/x-www-form-urlencoded"}
        status, body = await self._read("POST", TOKEN_URL, headers, form)
        if status != 200:
            return (401 if status == 400 else status), None  # as RFC 6749 has it, 400 is a refusal
        content = _json(body)
        token = content.get("access_token") if isinstance(content, dict) else None
        if not isinstance(token, str):
            raise httpx2.DecodingError("no token in the answer")
        return status, Secret(token)

    async def _get(self, row: ProviderRow, base_url: str, secret: Secret) -> tuple[int, bytes]:
        url = row.probe_url(base_url)
        parts = urlsplit(url)
        sign = signer_of(row.auth, secret.reveal(), parts.netloc, "GET")
        shown = AUTH_SCHEMES[row.auth](secret.reveal())
        shown += sign(parts.path, b"", self._clock.now()) if sign is not None else ()
        headers = {**dict(row.headers), **{name.decode(): value.decode() for name, value in shown}}
        return await self._read("GET", url, headers)

    async def _read(
        self, method: str, url: str, headers: dict[str, str], content: bytes | None = None
    ) -> tuple[int, bytes]:
        async with self._client.stream(method, url, headers=headers, content=content) as response:
            return response.status_code, await read_bounded(response, _MAX_BODY_BYTES)


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
    content = _json(body)
    listed = next((content[name] for name in _LISTS if name in content), None) if isinstance(content, dict) else content
    return len(listed) if isinstance(listed, list) else None


def _json(body: bytes) -> Any:
    """What a body says; None for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _ended(started: float, status: ProbeStatus, message: str, models_found: int | None = None) -> ProbeResult:
    latency_ms = round((time.perf_counter() - started) * 1000)
    return ProbeResult(status == "ok", status, message, latency_ms, models_found)
