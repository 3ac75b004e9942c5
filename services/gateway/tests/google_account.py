"""A Google service account that tests call Vertex by."""

from __future__ import annotations

import base64
import functools
import json

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@functools.cache
def _pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account_secret(email: str = "caller@tests.example") -> str:
    """The key file of an account, as a credential holds it."""
    file = {"type": "service_account", "client_email": email, "private_key_id": "k-1", "private_key": _pem()}
    return base64.b64encode(json.dumps(file).encode()).decode()
