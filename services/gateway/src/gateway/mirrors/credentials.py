"""The credentials that providers are called with: which there are comes by mirror, the secret itself from keyvault.

A system secret is fetched when its snapshot names a version that is not here yet, sealed to a key pair that this process
made for itself, and kept until it is replaced or revoked, at most a day without hearing from keyvault. A gateway is not
ready before it has all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from common.contracts.snapshots import CredentialSnapshot
from common.secret import SealBroken, Secret, public_key_of, unseal
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.mirrors.own_credentials import OwnCredentials
from gateway.mirrors.usable import Credential, KeyvaultAway

log = structlog.get_logger()

_RETRY_SECONDS = 1.0
_KEEP_SECONDS = 24 * 3600.0


Fetch = Callable[[str, str], Awaitable[tuple[int, str]]]
"""Asks keyvault for a credential (id, our public key): its version and the sealed secret. Raises KeyvaultAway."""


class Credentials:
    """The system credentials, and users' in `own`; `apply` is the mirror's `on_change`, `run` fetches what is missing."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._private = X25519PrivateKey.generate()
        self._wanted: dict[str, CredentialSnapshot] = {}
        self._held: dict[str, tuple[Credential, float]] = {}
        self._by_provider: dict[str, Credential] = {}
        self._changed = asyncio.Event()
        self._has_begun = False
        self.own = OwnCredentials(self._open)
        self.generation = 0

    def apply(self, credential_id: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        snapshot = CredentialSnapshot.model_validate_json(body) if body else None
        is_own = snapshot is not None and snapshot.owner_user_id is not None
        if is_own or self.own.knows(credential_id):
            self.own.apply(credential_id, snapshot)
            if credential_id not in self._wanted:
                return
        if snapshot is None or is_own or not snapshot.enabled:
            self._wanted.pop(credential_id, None)
            self._held.pop(credential_id, None)
        else:
            self._wanted[credential_id] = snapshot
        self._index()
        self._changed.set()

    def of_provider(self, provider_type: str) -> Credential | None:
        """The system credential of a provider type."""
        return self._by_provider.get(provider_type)

    def has_begun(self) -> bool:
        """Whether every wanted secret was here at some time: a later one that keyvault holds back makes its own
        provider unavailable, not this gateway."""
        self._has_begun = self._has_begun or self._wanted.keys() <= self._held.keys()
        return self._has_begun

    async def run(self) -> None:
        """Fetch what is missing and refresh what grows old, until cancelled."""
        while True:
            self._changed.clear()
            for snapshot in self._missing():
                await self._get(snapshot)
            self._forget_old()
            wait = _RETRY_SECONDS if self._missing() else _KEEP_SECONDS / 4
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _missing(self) -> list[CredentialSnapshot]:
        now = monotonic()
        return [
            wanted
            for wanted in self._wanted.values()
            if (held := self._held.get(wanted.id)) is None
            or held[0].version != wanted.version
            or now - held[1] > _KEEP_SECONDS / 2
        ]

    async def _get(self, snapshot: CredentialSnapshot) -> None:
        try:
            version, secret = await self._open(snapshot.id)
        except (KeyvaultAway, SealBroken) as error:
            log.warning("credential_missing", credential_id=snapshot.id, error=str(error))
            return
        if snapshot.id not in self._wanted:
            return
        credential = Credential(
            snapshot.id, snapshot.provider_type, version, secret, snapshot.base_url, snapshot.on_simulator
        )
        self._held[snapshot.id] = (credential, monotonic())
        self._index()

    async def _open(self, credential_id: str) -> tuple[int, Secret]:
        version, sealed = await self._fetch(credential_id, public_key_of(self._private))
        return version, unseal(sealed, self._private, f"{credential_id}/{version}")

    def _forget_old(self) -> None:
        now = monotonic()
        old = [credential_id for credential_id, (_, since) in self._held.items() if now - since > _KEEP_SECONDS]
        for credential_id in old:
            del self._held[credential_id]
        if old:
            self._index()

    def _index(self) -> None:
        self._by_provider = {credential.provider_type: credential for credential, _ in self._held.values()}
        self.generation += 1
