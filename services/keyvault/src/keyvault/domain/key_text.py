"""The text of a virtual key: what a client sends, shown once, kept only as SHA-256.

`tg_` + 43 characters base62 (32 random bytes) + 6 characters checksum, so that secret scanners can spot it and a
mistyped one can be told from an unknown one without asking anybody. Its 256 bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

from common.errors import Unprocessable
from common.secret import Secret

PREFIX = "tg_"
MIN_IMPORTED_CHARACTERS = 8
MAX_IMPORTED_CHARACTERS = 512
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_BYTES = 32
_RANDOM_CHARACTERS = 43
_CHECKSUM_CHARACTERS = 6


class ImpossibleKey(Unprocessable):
    """A key that somebody brings along and that cannot be one."""


def generate_key() -> Secret:
    """A key that nobody has."""
    return key_from(secrets.token_bytes(_RANDOM_BYTES))


def key_from(random: bytes) -> Secret:
    """The key that 32 random bytes make."""
    body = PREFIX + _base62(int.from_bytes(random, "big"), _RANDOM_CHARACTERS)
    return Secret(body + _checksum(body))


def has_checksum(text: str) -> bool:
    """Whether a text is a key of ours, as far as its checksum can tell."""
    body, checksum = text[:-_CHECKSUM_CHARACTERS], text[-_CHECKSUM_CHARACTERS:]
    expected = len(PREFIX) + _RANDOM_CHARACTERS
    return body.startswith(PREFIX) and len(body) == expected and checksum == _checksum(body)


def imported_key(text: str) -> Secret:
    """A key that an admin brings along; ImpossibleKey when no client could send it or anybody could guess it."""
    if not MIN_IMPORTED_CHARACTERS <= len(text) <= MAX_IMPORTED_CHARACTERS:
        raise ImpossibleKey(f"key: should have {MIN_IMPORTED_CHARACTERS} to {MAX_IMPORTED_CHARACTERS} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ImpossibleKey("key: should be printable ASCII without spaces")
    return Secret(text)


def sha256_of(key: Secret) -> str:
    """By what a key is kept and looked up."""
    return hashlib.sha256(key.reveal().encode()).hexdigest()


def last4_of(secret: Secret) -> str:
    """The end of a secret, by which its owner recognises it."""
    return secret.reveal()[-4:]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARACTERS)


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits)).rjust(width, _ALPHABET[0])
