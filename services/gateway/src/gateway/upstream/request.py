"""What a caller hands in: where to, what, how long, and the bounds of the client.

Pure: no I/O. Everything that can be computed once (the origin, the header block) is meant to be computed once by the
caller and reused for each call; what is left for each call is one join of bytes. Header values come from configuration
and from secrets, so they are checked here for the characters with which a value could become a second header.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?")
_NOT_IN_URL = re.compile(r"[^\x21-\x7e]")
_NOT_IN_TARGET = re.compile(rb"[^\x21-\x7e]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

# The client writes these itself; with a second copy two readers could disagree about where the request ends.
_OURS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})
_METHODS_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_METHODS = _METHODS_WITH_BODY | {b"GET", b"HEAD", b"DELETE", b"OPTIONS"}

# Up to here head and body leave in one write, one system call; above it the copy would cost more than the call.
SMALL_BODY_BYTES = 65_536


class Origin(NamedTuple):
    """Scheme, host (lower case, without brackets) and port: what a connection belongs to.

    A named tuple, not a dataclass: it is the key of the pool on every call, and tuples hash and compare in C.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Origin:
        """The origin of an absolute http(s) URL. Raises ValueError for anything else, also for a user name."""
        return split_url(url)[0]

    @property
    def host_header(self) -> bytes:
        """The value of `Host`: the port only if it is not the scheme's own, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{host}{port}".encode("ascii")


def split_url(url: str) -> tuple[Origin, bytes]:
    """An absolute URL as (origin, target): `https://a.example/v1?x=1` gives ((https, a.example, 443), b"/v1?x=1")."""
    if _NOT_IN_URL.search(url):
        # urlsplit drops some control characters silently; what was checked must be what is called.
        raise ValueError("URL has characters that are not printable ASCII")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("URL must be absolute and http or https")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("URL must have neither a user name nor a fragment")
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    if port == 0:
        raise ValueError("URL has port 0")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = _checked_host(parts.hostname, is_literal="[" in parts.netloc)
    return Origin(parts.scheme, host, port), target.encode("ascii")


def _checked_host(host: str, *, is_literal: bool) -> str:
    if is_literal and "%" not in host:
        return str(ipaddress.IPv6Address(host))
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise ValueError("URL has a malformed host name")
    return host


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each wait of one call may take, in seconds; each ends in `UpstreamTimeout` with its phase.

    connect         resolving, TCP and TLS together, when a connection has to be opened
    first_byte      from the last accepted byte of the request to the end of the answer's header block
    between_chunks  each wait for more of the body, counted from when the caller began to wait
    total           the whole call, whoever is slow: the caller who does not read is cut as well
    """

    connect_seconds: float
    first_byte_seconds: float
    between_chunks_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The bounds of one client. Counts and waits are for each origin, sizes for each connection.

    max_connections   open or opening at once          max_idle       kept for reuse of those
    max_waiting       callers in the queue for one     pool_seconds   longest stay in that queue
    idle_seconds      longest stay of an idle one      buffer_bytes   body bytes held before the provider is throttled
    header_bytes      header block of an answer        max_expansion  decompressed size / received size, from 1 MiB on
    """

    max_connections: int = 256
    max_idle: int = 64
    max_waiting: int = 1024
    pool_seconds: float = 5.0
    idle_seconds: float = 30.0
    buffer_bytes: int = 262_144
    header_bytes: int = 65_536
    max_expansion: int = 100


class UpstreamRequest(NamedTuple):
    """One request. `headers` is a block made by `header_block` (the cheap way) or the pairs themselves.

    `host`, `content-length`, `transfer-encoding` and `connection` are the client's to write and refused in `headers`.
    A named tuple because one is made for every call, at a third of what a frozen dataclass costs.
    """

    method: bytes
    origin: Origin
    target: bytes
    headers: bytes | Sequence[tuple[bytes, bytes]] = b""
    body: bytes | None = None


def header_block(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The pairs as header lines, each ended by CRLF. Raises ValueError, without the value, for one that is not safe."""
    return b"".join([_header_line(name, value) for name, value in pairs])


def _header_line(name: bytes, value: bytes) -> bytes:
    if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
        raise ValueError("a header name is malformed or reserved for the client")
    if _NOT_IN_VALUE.search(value):
        raise ValueError(f"the value of header {name.decode('ascii')} has control characters")
    return b"%b: %b\r\n" % (name, value)


def compose(request: UpstreamRequest, host_line: bytes) -> tuple[bytes, bytes | None]:
    """The request as (first write, rest): head and a small body in one piece, a large body apart so as not to copy it.

    `host_line` is the end of the request line and the Host header, computed once for an origin by `host_line_of`.
    """
    if request.method not in _METHODS or not request.target or _NOT_IN_TARGET.search(request.target):
        raise ValueError("the request has an unknown method or a malformed target")
    block = request.headers
    if not isinstance(block, bytes):
        block = header_block(block)
    elif block and (block[-2:] != b"\r\n" or block[:2] == b"\r\n" or block.find(b"\r\n\r\n") >= 0):
        raise ValueError("the header block is malformed; header_block makes one")
    body = request.body
    if body is None:
        end = b"content-length: 0\r\n\r\n" if request.method in _METHODS_WITH_BODY else b"\r\n"
        return b"".join((request.method, b" ", request.target, host_line, block, end)), None
    end = b"content-length: %d\r\n\r\n" % len(body)
    if len(body) > SMALL_BODY_BYTES:
        return b"".join((request.method, b" ", request.target, host_line, block, end)), body
    return b"".join((request.method, b" ", request.target, host_line, block, end, body)), None


def host_line_of(origin: Origin) -> bytes:
    """What follows the target in every request to this origin."""
    return b" HTTP/1.1\r\nhost: " + origin.host_header + b"\r\n"
