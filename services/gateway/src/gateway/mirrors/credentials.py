"""The credentials that providers are called with: which there are comes by mirror, the secret itself from keyvault.

A system secret is fetched when its snapshot names a version that is not here yet, sealed to a key pair that this process
made for itself, and kept until it is replaced or revoked, at most a day without hearing from keyvault. What has to be
exchanged for a token of a shorter life is, ahead of time, so that no call waits for it. A gateway is not ready before it
has all of them.
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
from gateway.mirrors.usable import DAY_SECONDS, Credential, NoSecret

log = structlog.get_logger()

_RETRY_SECONDS = (0.2, 0.5, 1.0, 1.0, 2.0, 5.0)


Fetch = Callable[[str, str], Awaitable[tuple[int, str]]]
"""Asks keyvault for a credential (id, our public key): its version and the sealed secret. Raises NoSecret."""

Exchange = Callable[[Credential], Awaitable[Credential]]
"""Makes of a credential, as keyvault keeps it, what its provider takes. Raises NoSecret."""


class Credentials:
    """The system credentials, and users' in `own`; `apply` is the mirror's `on_change`, `run` fetches what is missing."""

    def __init__(self, fetch: Fetch, exchange: Exchange) -> None:
        self._fetch = fetch
        self._exchange = exchange
        self._private = X25519PrivateKey.generate()
        self._wanted: dict[str, CredentialSnapshot] = {}
        self._held: dict[str, tuple[Credential, float]] = {}
        self._by_provider: dict[str, Credential] = {}
        self._opened: set[str] = set()
        self._changed = asyncio.Event()
        self._has_begun = False
        self.own = OwnCredentials(self._open, exchange)
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
            self._opened.discard(credential_id)
        else:
            self._wanted[credential_id] = snapshot
        self._index()
        self._changed.set()

    def of_provider(self, provider_type: str) -> Credential | None:
        """The system credential of a provider type."""
        return self._by_provider.get(provider_type)

    def has_begun(self) -> bool:
        """Whether keyvault has opened every wanted secret at some time: a later one that it holds back, or one that a
        provider will not exchange, makes its own provider unavailable, not this gateway."""
        self._has_begun = self._has_begun or self._wanted.keys() <= self._opened
        return self._has_begun

    async def run(self) -> None:
        """Fetch what is missing and refresh what grows old, until cancelled."""
        tries = 0
        while True:
            self._changed.clear()
            await asyncio.gather(*[self._get(snapshot) for snapshot in self._missing()])
            self._forget_old()
            retry_seconds = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
            wait = retry_seconds if self._missing() else self._shortest_seconds() / 4
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
                tries = 0  # what has just been told of is not to wait for what has failed before
            except TimeoutError:
                tries += 1

    def _missing(self) -> list[CredentialSnapshot]:
        now = monotonic()
        return [
            wanted
            for wanted in self._wanted.values()
            if (held := self._held.get(wanted.id)) is None
            or held[0].version != wanted.version
            or now - held[1] > held[0].lasts_seconds / 2
        ]

    async def _get(self, snapshot: CredentialSnapshot) -> None:
        try:
            version, secret = await self._open(snapshot.id)
            self._opened.add(snapshot.id)
            kept = Credential(
                snapshot.id, snapshot.provider_type, version, secret, snapshot.base_url, snapshot.on_simulator
            )
            credential = await self._exchange(kept)
        except (NoSecret, SealBroken) as error:
            log.warning("credential_missing", credential_id=snapshot.id, error=str(error))
            return
        if snapshot.id not in self._wanted:
            return
        self._held[snapshot.id] = (credential, monotonic())
        self._index()

    async def _open(self, credential_id: str) -> tuple[int, Secret]:
        version, sealed = await self._fetch(credential_id, public_key_of(self._private))
        return version, unseal(sealed, self._private, f"{credential_id}/{version}")

    def _shortest_seconds(self) -> float:
        return min((credential.lasts_seconds for credential, _ in self._held.values()), default=DAY_SECONDS)

    def _forget_old(self) -> None:
        now = monotonic()
        old = [name for name, (credential, since) in self._held.items() if now - since > credential.lasts_seconds]
        for credential_id in old:
            del self._held[credential_id]
        if old:
            self._index()

    def _index(self) -> None:
        self._by_provider = {credential.provider_type: credential for credential, _ in self._held.values()}
        self.generation += 1
