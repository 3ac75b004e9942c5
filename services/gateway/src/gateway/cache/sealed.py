"""The cache Redis as the gateway uses it: named entries that nobody but a gateway can read.

The server drops what it likes (LRU, nothing on disk), so an entry may be gone at any time and nothing may depend on one.
Entries are encrypted (AES-256-GCM) under a key derived from the gateway's service token, which all gateways share, and
bound to their names: whoever reads that Redis sees sizes and times, and whoever writes to it can forge nothing. After the
token was changed the old entries are as good as gone.
"""

from __future__ import annotations

import os
from contextlib import suppress

from common.secret import Secret
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.limits.redis import RedisAway, RedisLine, RedisRefused

MAX_ENTRY_BYTES = 1 << 20
"""What is larger is not kept."""

_NONCE_BYTES = 12
_LABEL = b"tollgate cache entries v1"


class SealedCache:
    """Named entries with a life each. Every method raises RedisAway when that Redis does not answer."""

    def __init__(self, line: RedisLine | None, secret: Secret) -> None:
        self._line = line
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL).derive(secret.reveal().encode())
        self._cipher = AESGCM(derived)

    @property
    def is_up(self) -> bool:
        """Whether there is a cache Redis, and a connection to it."""
        return self._line is not None and self._line.connected.is_set()

    async def keep(self, name: str, content: bytes, seconds: float) -> bool:
        """Keep `content` under a name for so long; False when it is too large."""
        if len(content) > MAX_ENTRY_BYTES:
            return False
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, content, name.encode())
        await self._ask("SET", name, sealed, "PX", int(seconds * 1000))
        return True

    async def find(self, name: str) -> bytes | None:
        """What is kept under a name; None when nothing is, or nothing that was sealed by us for this name."""
        sealed = await self._ask("GET", name)
        if sealed is None:
            return None
        with suppress(InvalidTag, ValueError):
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        return None

    async def begin(self, name: str, owner: str, seconds: float) -> bool:
        """Take a name for `owner`, at most for so long; False when somebody has it."""
        return await self._ask("SET", name, owner, "NX", "PX", int(seconds * 1000)) is not None

    async def rotate(self, name: str, entry: str, most: int, seconds: float) -> str | None:
        """Put an entry's name down as the latest of a circle of so many; the one whose turn it was, and is over."""
        count = int(await self._ask("INCR", name) or 0)
        milliseconds = int(seconds * 1000)
        await self._ask("PEXPIRE", name, milliseconds)
        before = await self._ask("SET", f"{name}:{count % most}", entry, "GET", "PX", milliseconds)
        return before.decode() if before is not None else None

    async def drop(self, name: str) -> None:
        """Forget an entry."""
        await self._ask("DEL", name)

    async def _ask(self, *command: bytes | str | int) -> bytes | None:
        if self._line is None:
            raise RedisAway("no cache Redis is configured")
        try:
            answer: bytes | None = await self._line.ask(*command)
        except RedisRefused as error:  # out of memory, loading, read-only: as if it were away
            raise RedisAway(str(error).partition(" ")[0]) from error
        return answer
