"""Exchanges a Google service account for the access token that Vertex takes; every other credential is shown as it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import msgspec
from common.clock import Clock
from common.providers.registry import PROVIDERS
from common.providers.service_account import TOKEN_URL, ServiceAccount
from common.secret import Secret

from gateway.mirrors.usable import Credential, NoSecret
from gateway.upstream.client import Deadlines, UpstreamClient, UpstreamError, UpstreamRequest, header_block, split_url

_DEADLINES = Deadlines(connect_seconds=5, first_byte_seconds=10, between_chunks_seconds=10, total_seconds=20)
_MAX_BYTES = 64 * 1024
_MARGIN_SECONDS = 60
_HEADERS = header_block([(b"content-type", b"application/x-www-form-urlencoded"), (b"accept-encoding", b"identity")])


class _Token(msgspec.Struct):
    access_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class GoogleTokens:
    """Asks Google, or the simulator in its place."""

    client: UpstreamClient
    simulator_url: str | None
    clock: Clock

    async def exchange(self, credential: Credential) -> Credential:
        """What the credential's provider takes. Raises NoSecret."""
        row = PROVIDERS.get(credential.provider_type)
        if row is None or row.auth != "google":
            return credential
        try:
            account = ServiceAccount.parse(credential.secret.reveal())
        except ValueError as error:
            raise NoSecret(str(error)) from error
        if account is None:
            return credential
        # Signing takes milliseconds, which calls on their way need not wait for.
        form = await asyncio.to_thread(account.request, self.clock.now())
        token = await self._ask(form, is_simulated=credential.on_simulator)
        return replace(
            credential, secret=Secret(token.access_token), lasts_seconds=max(1, token.expires_in - _MARGIN_SECONDS)
        )

    async def _ask(self, form: bytes, *, is_simulated: bool) -> _Token:
        url = f"{self.simulator_url}/vertex/token" if is_simulated and self.simulator_url else TOKEN_URL
        origin, path = split_url(url)
        request = UpstreamRequest(b"POST", origin, path, _HEADERS, form)
        try:
            async with await self.client.send(request, _DEADLINES) as response:
                body = await response.body(_MAX_BYTES)
                if response.status != 200:
                    raise NoSecret(f"Google refused the service account with status {response.status}")
            return msgspec.json.decode(body, type=_Token)
        except (UpstreamError, ValueError) as error:
            raise NoSecret(f"no token from Google: {type(error).__name__}") from error
