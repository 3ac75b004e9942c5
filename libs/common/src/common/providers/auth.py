"""Who we are to a provider: one row per scheme, from a secret to the headers that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from common.providers.registry import AuthScheme

Headers = tuple[tuple[bytes, bytes], ...]

AUTH_SCHEMES: Mapping[AuthScheme, Callable[[str], Headers]] = MappingProxyType(
    {
        "bearer": lambda secret: ((b"authorization", b"Bearer " + secret.encode()),),
        "x-api-key": lambda secret: ((b"x-api-key", secret.encode()),),
        "api-key": lambda secret: ((b"api-key", secret.encode()),),
        "optional-bearer": lambda secret: ((b"authorization", b"Bearer " + secret.encode()),) if secret else (),
        "none": lambda secret: (),
    }
)
"""Header lines by scheme; a secret must be free of line breaks, which `check_secret` sees to."""


def check_secret(secret: str) -> str:
    """The secret itself; ValueError (without the secret) for what cannot stand in a header."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("a credential is one line of printable ASCII without spaces")
    return secret
