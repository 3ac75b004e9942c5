"""Checks version 4 of AWS's signature, as the server's side does: from the request's own headers. Pure.

The secret of every access key is the same here, so that a test can sign with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

SECRET = "simulated-secret"  # noqa: S105 - nobody's
_SHOWN = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=(?P<id>[^/,]+)/(?P<scope>(?P<day>\d{8})/[^/,]+/bedrock/aws4_request), ?"
    rb"SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


def access_key(headers: dict[bytes, bytes]) -> str:
    """The id of the access key that signed a request; "" when none did."""
    found = _SHOWN.fullmatch(headers.get(b"authorization", b""))
    return found["id"].decode() if found else ""


def is_signed(path: str, headers: dict[bytes, bytes], body: bytes) -> bool:
    """Whether the signature is that of this request; `path` as it means, without escapes."""
    found = _SHOWN.fullmatch(headers.get(b"authorization", b""))
    if found is None:
        return False
    names = found["names"].decode().split(";")
    if "host" not in names or "x-amz-date" not in names:
        return False
    once = "/".join(quote(part, safe="") for part in path.split("/"))
    lines = ["POST", "/".join(quote(part, safe="") for part in once.split("/")), ""]
    lines += [f"{name}:{headers.get(name.encode(), b'').decode()}" for name in names]
    lines += ["", ";".join(names), hashlib.sha256(body).hexdigest()]
    canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers[b"x-amz-date"].decode(), found["scope"].decode(), canonical])
    key = b"AWS4" + SECRET.encode()
    for part in found["scope"].split(b"/"):
        key = hmac.new(key, part, hashlib.sha256).digest()
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), found["signature"])
