"""Argon2 off the event loop, few at a time: each hash takes 64 MiB and a tenth of a second of a processor.

Whoever comes when too many wait already is told to come back, so that a flood of logins costs neither memory nor the
answers of everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from common.errors import Unavailable

from keyvault.domain.passwords import hash_password, is_password

_AT_ONCE = 2
_WAITING = 32


class TooManyLogins(Unavailable):
    """More passwords to check than can be checked in good time."""


class Hashing:
    """Hashes and checks passwords in threads."""

    def __init__(
        self,
        hash_one: Callable[[str], str] = hash_password,
        check_one: Callable[[str, str], bool] = is_password,
    ) -> None:
        self._hash_one = hash_one
        self._check_one = check_one
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._present = 0

    async def hash(self, password: str) -> str:
        """A hash to keep."""
        async with self._slot():
            return await asyncio.to_thread(self._hash_one, password)

    async def is_password(self, stored: str, password: str) -> bool:
        """Whether a hash is this password's."""
        async with self._slot():
            return await asyncio.to_thread(self._check_one, stored, password)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._present >= _AT_ONCE + _WAITING:
            raise TooManyLogins("too many logins at the moment", retry_after_seconds=1)
        self._present += 1
        try:
            async with self._slots:
                yield
        finally:
            self._present -= 1
