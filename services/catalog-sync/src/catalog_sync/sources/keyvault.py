"""Asks keyvault for a system credential's secret: sealed to a key of this one question, used once, not kept."""

from __future__ import annotations

import httpx2
from common.contracts.snapshots import CredentialSnapshot
from common.http.fetch import SourceUnreadable
from common.secret import SealBroken, Secret, public_key_of, unseal
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_TIMEOUT_SECONDS = 5.0


class KeyvaultDoor:
    """Fetches sealed secrets over HTTP, showing our service token."""

    def __init__(self, url: str, token: Secret) -> None:
        self._url = url.rstrip("/")
        self._token = token

    async def open(self, credential: CredentialSnapshot) -> Secret:
        """The secret of a credential; SourceUnreadable when keyvault does not hand it out."""
        private = X25519PrivateKey.generate()
        try:
            async with httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
                answer = await client.post(
                    f"{self._url}/internal/v1/credentials/{credential.id}/open",
                    json={"recipient": public_key_of(private)},
                    headers={"authorization": f"Bearer {self._token.reveal()}"},
                )
            if answer.status_code != 200:
                raise SourceUnreadable(f"keyvault did not hand out the provider's key (HTTP {answer.status_code})")
            opened = answer.json()
            return unseal(opened["sealed"], private, f"{credential.id}/{opened['version']}")
        except (httpx2.HTTPError, OSError, SealBroken, ValueError, KeyError, TypeError) as error:
            raise SourceUnreadable(f"the provider's key could not be had ({type(error).__name__})") from error
