"""Encryption at rest: what stands in the table is `f1.<kid>.<token>`.

`f1` is Fernet (AES-128-CBC with HMAC-SHA256), `kid` a short hash of the master key that made the token. Fernet binds no
associated data, so what a secret belongs to (tenant, row, provider, allowed host) is part of the plaintext, and is
compared after decrypting: a ciphertext that was moved to another row or pointed at another host does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from common.errors import Unavailable
from common.secret import Secret
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

SYSTEM_TENANT = "system"
_FORM = "f1"


class SecretUnreadable(Unavailable):
    """A stored secret cannot be opened: changed, moved, or under a master key that we do not have."""


class UnknownMasterKey(Exception):
    """Rows are encrypted under a master key that was not given; the text is one line for whoever starts the service."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a secret belongs to."""

    tenant: str
    row: str
    provider: str
    host: str


class Keyring:
    """The master keys, newest first: the first encrypts, each decrypts what it made."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        fernets = [Fernet(key.reveal()) for key in keys]
        self._writer = MultiFernet(fernets)
        self._readers: Mapping[str, Fernet] = {kid_of(key): fernet for key, fernet in zip(keys, fernets, strict=True)}
        self.current_kid = kid_of(keys[0])

    def check(self, kids: Sequence[str]) -> None:
        """UnknownMasterKey when rows carry the name of a key that we do not have."""
        missing = sorted(set(kids) - set(self._readers))
        if missing:
            raise UnknownMasterKey(
                f"BYOK_ENCRYPTION_KEYS is wrong: it lacks the key that stored credentials need ({', '.join(missing)})"
            )

    def encrypt(self, secret: Secret, binding: Binding) -> str:
        """The stored form of a secret."""
        plaintext = _canonical({**_members(binding), "s": secret.reveal()})
        return f"{_FORM}.{self.current_kid}.{self._writer.encrypt(plaintext).decode()}"

    def decrypt(self, stored: str, binding: Binding) -> Secret:
        """The secret itself; SecretUnreadable when the stored form is not intact or belongs to something else."""
        form, _, rest = stored.partition(".")
        kid, _, token = rest.partition(".")
        reader = self._readers.get(kid)
        if form != _FORM or reader is None or not _is_canonical(token):
            raise SecretUnreadable("a stored credential cannot be opened")
        try:
            content = json.loads(reader.decrypt(token))
        except (InvalidToken, ValueError) as error:
            raise SecretUnreadable("a stored credential cannot be opened") from error
        secret = content.pop("s", None) if isinstance(content, dict) else None
        if not isinstance(secret, str) or content != _members(binding):
            raise SecretUnreadable("a stored credential belongs to something else")
        return Secret(secret)


def kid_of(key: Secret) -> str:
    """The name of a master key: a short hash, which tells nothing of its 256 random bits."""
    return hashlib.sha256(b"tollgate master key " + key.reveal().encode()).hexdigest()[:8]


def check_master_key(text: str) -> Secret:
    """A master key; ValueError (without it) when it is none."""
    try:
        Fernet(text)
    except (ValueError, binascii.Error):
        raise ValueError("should be Fernet keys (url-safe base64 of 32 bytes), separated by commas") from None
    return Secret(text)


def _members(binding: Binding) -> dict[str, str]:
    return {name[0]: value for name, value in asdict(binding).items()}


def _canonical(content: Mapping[str, str]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _is_canonical(token: str) -> bool:
    """Base64 has several spellings of the same bytes (unused bits, skipped characters); only one is ours."""
    try:
        return base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token
    except (ValueError, binascii.Error):
        return False
