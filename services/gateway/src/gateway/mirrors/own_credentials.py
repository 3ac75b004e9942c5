"""Users' own credentials: which there are comes by mirror, a secret from keyvault at the first call that needs it.

It is kept until it is replaced or taken away, as long as it lasts at most, and only so many at once; calls that need the
same secret at the same time ask for it together. This is the one question that a call on its way may have to ask others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from types import MappingProxyType

from common.contracts.snapshots import CredentialSnapshot
from common.secret import SealBroken, Secret

from gateway.mirrors.usable import Credential, NoSecret

Open = Callable[[str], Awaitable[tuple[int, Secret]]]
"""Has keyvault open a credential (by id) for this process: its version and secret. Raises NoSecret, SealBroken."""

_MOST_KEPT = 10_000
_NONE: Mapping[str, CredentialSnapshot] = MappingProxyType({})


class OwnCredentials:
    """All users' credentials; `apply` takes in snapshots, `secret_of` is what a call waits for."""

    def __init__(self, open_secret: Open, exchange: Callable[[Credential], Awaitable[Credential]]) -> None:
        self._open = open_secret
        self._exchange = exchange
        self._known: dict[str, CredentialSnapshot] = {}
        self._active: dict[str, dict[str, CredentialSnapshot]] = {}
        self._kept: OrderedDict[str, tuple[Credential, float]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Credential]] = {}

    def knows(self, credential_id: str) -> bool:
        """Whether this is a user's credential."""
        return credential_id in self._known

    def apply(self, credential_id: str, snapshot: CredentialSnapshot | None) -> None:
        """Take in what a credential now is; None when it is gone."""
        old = self._known.pop(credential_id, None)
        if old is not None and old.owner_user_id is not None:
            owned = self._active.get(old.owner_user_id, {})
            if owned.get(old.provider_type) is old:
                del owned[old.provider_type]
            if not owned:
                self._active.pop(old.owner_user_id, None)
        if snapshot is None or not snapshot.enabled:
            self._kept.pop(credential_id, None)
        if snapshot is None or snapshot.owner_user_id is None:
            return
        self._known[credential_id] = snapshot
        if snapshot.enabled:
            self._active.setdefault(snapshot.owner_user_id, {})[snapshot.provider_type] = snapshot

    def of_user(self, user_id: str | None) -> Mapping[str, CredentialSnapshot]:
        """A user's active credentials, by provider type."""
        return self._active.get(user_id, _NONE) if user_id is not None else _NONE

    def find(self, credential_id: str, user_id: str | None) -> CredentialSnapshot | None:
        """A user's credential, an inactive one too; None for what is not there or is somebody else's."""
        found = self._known.get(credential_id)
        return found if found is not None and found.owner_user_id == user_id else None

    async def secret_of(self, snapshot: CredentialSnapshot) -> Credential:
        """A credential, ready to be used. Raises NoSecret when its secret is not here and cannot be had."""
        kept = self._kept.get(snapshot.id)
        if kept is not None and kept[0].version >= snapshot.version and monotonic() - kept[1] < kept[0].lasts_seconds:
            self._kept.move_to_end(snapshot.id)
            return kept[0]
        asked = self._asked.get(snapshot.id)
        if asked is None:
            asked = self._asked[snapshot.id] = asyncio.create_task(self._fetch(snapshot))
            asked.add_done_callback(lambda done: self._answered(snapshot.id, done))
        return await asyncio.shield(asked)  # who gives up takes nobody else's answer away

    async def _fetch(self, snapshot: CredentialSnapshot) -> Credential:
        try:
            version, secret = await self._open(snapshot.id)
        except SealBroken as error:
            raise NoSecret(str(error)) from error
        now = self._known.get(snapshot.id)
        if now is None or not now.enabled or version < now.version:
            raise NoSecret("the credential has changed meanwhile")
        credential = await self._exchange(
            Credential(
                now.id,
                now.provider_type,
                version,
                secret,
                now.base_url,
                now.on_simulator,
                owner_user_id=now.owner_user_id,
            )
        )
        self._kept[now.id] = (credential, monotonic())
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return credential

    def _answered(self, credential_id: str, done: asyncio.Task[Credential]) -> None:
        self._asked.pop(credential_id, None)
        if not done.cancelled():
            done.exception()  # seen: whoever asked has it, if anybody still waits
