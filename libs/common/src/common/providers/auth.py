"""Who we are to a provider: one row per scheme, from a secret to the headers that show it, or that sign with it.

Of scheme `aws` a secret is a Bedrock API key, shown as a bearer's, or `<access key id>:<secret access key>`, with a third
part for a session token, with which each request is signed. Of scheme `google` it is an access token, or a service
account's key file in base64, which has to be exchanged for one before it is shown (`service_account`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from common.providers.registry import AuthScheme
from common.providers.sigv4 import AccessKey, signed_headers

Headers = tuple[tuple[bytes, bytes], ...]

AUTH_SCHEMES: Mapping[AuthScheme, Callable[[str], Headers]] = MappingProxyType(
    {
        "bearer": lambda secret: ((b"authorization", b"Bearer " + secret.encode()),),
        "x-api-key": lambda secret: ((b"x-api-key", secret.encode()),),
        "x-goog-api-key": lambda secret: ((b"x-goog-api-key", secret.encode()),),
        "api-key": lambda secret: ((b"api-key", secret.encode()),),
        "optional-bearer": lambda secret: ((b"authorization", b"Bearer " + secret.encode()),) if secret else (),
        "aws": lambda secret: AUTH_SCHEMES["bearer"](secret) if AccessKey.parse(secret) is None else (),
        "google": lambda secret: ((b"authorization", b"Bearer " + secret.encode()),),
        "none": lambda secret: (),
    }
)
"""Header lines by scheme; a secret must be free of line breaks, which `check_secret` sees to."""


Signer = Callable[[str, bytes, datetime], Headers]
"""Signs a request: its path as it is sent, its body, and the instant."""


def signer_of(scheme: AuthScheme, secret: str, host: str, method: str = "POST") -> Signer | None:
    """What signs each request to a host; None for schemes that show the same headers with all of them."""
    key = AccessKey.parse(secret) if scheme == "aws" else None
    if key is None:
        return None
    return lambda path, body, at: tuple(signed_headers(key, host, path, body, at, method=method))


def check_secret(secret: str) -> str:
    """The secret itself; ValueError (without the secret) for what cannot stand in a header."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("a credential is one line of printable ASCII without spaces")
    return secret
