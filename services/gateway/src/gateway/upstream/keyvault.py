"""Asks keyvault for a provider's secret: the one question that the gateway asks another service by itself."""

from __future__ import annotations

import msgspec
from common.secret import Secret

from gateway.mirrors.usable import NoSecret
from gateway.upstream.client import Deadlines, UpstreamClient, UpstreamError, UpstreamRequest, header_block, split_url

_DEADLINES = Deadlines(connect_seconds=2, first_byte_seconds=5, between_chunks_seconds=5, total_seconds=10)
_MAX_BYTES = 64 * 1024


class _Sealed(msgspec.Struct):
    version: int
    sealed: str


class KeyvaultDoor:
    """Fetches sealed secrets over HTTP, showing the gateway's service token."""

    def __init__(self, client: UpstreamClient, url: str, token: Secret) -> None:
        self._client = client
        self._origin = split_url(url)[0]
        self._headers = header_block(
            [
                (b"authorization", b"Bearer " + token.reveal().encode()),
                (b"content-type", b"application/json"),
            ]
        )

    async def open(self, credential_id: str, recipient: str) -> tuple[int, str]:
        """The version and sealed secret of a credential. Raises NoSecret."""
        request = UpstreamRequest(
            b"POST",
            self._origin,
            f"/internal/v1/credentials/{credential_id}/open".encode(),
            self._headers,
            msgspec.json.encode({"recipient": recipient}),
        )
        try:
            async with await self._client.send(request, _DEADLINES) as response:
                body = await response.body(_MAX_BYTES)
                if response.status != 200:
                    raise NoSecret(f"keyvault answered {response.status}")
            answer = msgspec.json.decode(body, type=_Sealed)
        except (UpstreamError, ValueError) as error:
            raise NoSecret(type(error).__name__) from error
        return answer.version, answer.sealed
