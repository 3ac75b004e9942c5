"""Secrets in memory, and how one travels between two services.

`Secret` keeps a value from showing itself by accident: printing, formatting, logging, JSON and pickling all say `***`.
`seal` encrypts one for a single recipient's X25519 key (ephemeral key agreement, HKDF-SHA256, AES-256-GCM), so that
neither the bus, a proxy nor a log between two services could read it; what it is for is bound as associated data.
"""

from __future__ import annotations

import base64
import os
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_NONCE_BYTES = 12
_KEY_BYTES = 32
_LABEL = b"tollgate sealed secret v1"


class Secret:
    """A text that does not show itself; `reveal` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself; call it where the text leaves for whom it is meant, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class SealBroken(ValueError):
    """A sealed secret was not for this recipient or purpose, or was changed on its way."""


def public_key_of(private: X25519PrivateKey) -> str:
    """A recipient's public key as text (base64url)."""
    return _text(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def seal(secret: Secret, recipient: str, purpose: str) -> str:
    """Encrypt for the holder of `recipient` (a public key as text); ValueError when that is no key."""
    ephemeral = X25519PrivateKey.generate()
    to = X25519PublicKey.from_public_bytes(_bytes(recipient))
    own = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    nonce = os.urandom(_NONCE_BYTES)
    key = _derive(ephemeral.exchange(to), own + _bytes(recipient))
    return _text(own + nonce + AESGCM(key).encrypt(nonce, secret.reveal().encode(), purpose.encode()))


def unseal(sealed: str, recipient: X25519PrivateKey, purpose: str) -> Secret:
    """Decrypt what was sealed for this recipient and purpose; SealBroken when it was not."""
    try:
        raw = _bytes(sealed)
        own = recipient.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        sender = X25519PublicKey.from_public_bytes(raw[:_KEY_BYTES])
        key = _derive(recipient.exchange(sender), raw[:_KEY_BYTES] + own)
        nonce, body = raw[_KEY_BYTES : _KEY_BYTES + _NONCE_BYTES], raw[_KEY_BYTES + _NONCE_BYTES :]
        return Secret(AESGCM(key).decrypt(nonce, body, purpose.encode()).decode())
    except (ValueError, InvalidTag) as error:
        raise SealBroken("a sealed secret cannot be opened") from error


def _derive(shared: bytes, salt: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=_LABEL).derive(shared)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
