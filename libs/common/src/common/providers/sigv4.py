"""AWS's signature, version 4: how a request shows that its sender knows a secret key, without showing it. Pure.

Only what is needed of it: a body that is all there, no query. A library for it would bring a whole SDK;
the algorithm is forty lines, and its published example is a test.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote

_SERVICE = "bedrock"
_DEFAULT_REGION = "us-east-1"
_REGION = re.compile(r"^bedrock(?:-runtime)?(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws|api\.aws)")
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An AWS access key; `session_token` where it is a temporary one."""

    id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)

    @classmethod
    def parse(cls, secret: str) -> AccessKey | None:
        """`<id>:<secret>` or `<id>:<secret>:<session token>`; None for anything else, such as a Bedrock API key."""
        parts = secret.split(":", 2)
        return cls(*parts) if len(parts) > 1 and all(parts) else None


def region_of(host: str) -> str:
    """The region that a host name tells of; where it tells of none, the first one."""
    found = _REGION.match(host)
    return found["region"] if found else _DEFAULT_REGION


def signed_headers(
    key: AccessKey,
    host: str,
    path: str,
    body: bytes,
    at: datetime,
    *,
    method: str = "POST",
    region: str | None = None,
    service: str = _SERVICE,
    more: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[bytes, bytes]]:
    """The headers that sign a request: `path` as it is sent, without a query; `host` as in its header; `at` in UTC.
    `more` headers (names in lower case) are signed, too, and among those returned."""
    region = region or region_of(host)
    stamp = at.strftime("%Y%m%dT%H%M%SZ")
    named = {"host": host, "x-amz-date": stamp}
    if key.session_token:
        named["x-amz-security-token"] = key.session_token
    named = dict(sorted({**named, **more}.items()))
    names = ";".join(named)
    asked = "\n".join(
        [
            method,
            quote(path, safe="/-_.~"),  # once more, also what is escaped already: every service but S3 wants it so
            "",
            *(f"{name}:{value}" for name, value in named.items()),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(asked.encode()).hexdigest()])
    signature = _hmac(_signing_key(key.secret, stamp[:8], region, service), to_sign).hex()
    shown = f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    del named["host"]  # whoever sends the request writes it
    return [(name.encode(), value.encode()) for name, value in {**named, "authorization": shown}.items()]


def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
