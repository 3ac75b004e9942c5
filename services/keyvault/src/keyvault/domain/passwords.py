"""Password hashes: argon2id with its library's recommended costs.

Slow and hungry on purpose (64 MiB): callers run these in a thread, few at a time. A login for an address that nobody has
is checked against `NOBODYS_HASH`, so that it takes as long as any other.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5IGhhcyB0aGlzIQ$mheAeF/IGErgCivqzHsoe/QEWxE1MC1Tg1Vm/xtW0BQ"
"""Has the form and costs of a hash and is that of no password."""


def hash_password(password: str) -> str:
    """A salted hash, with its own parameters."""
    return PasswordHasher().hash(password)


def is_password(stored: str, password: str) -> bool:
    """Whether a hash is this password's."""
    try:
        return PasswordHasher().verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
