"""Ids: drawn once where a thing begins, computed wherever the same thing may be told twice.

A request id is a UUIDv7 (sortable by time). The ids of its events are *computed* from it: any process that retries any
step makes the same id, and whoever has seen it before knows so.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from typing import Literal

_EVENTS = uuid.UUID("7b0f6a4e-3a52-5d0c-9c55-9f2f0c5f7a10")

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}

UsageKind = Literal["final", "estimated"]
"""How a call's usage is known: told by its own gateway, or by the reaper that found its hold abandoned."""


def uuid7() -> str:
    """A UUIDv7 in text form: 48 bits of milliseconds, 74 of randomness (RFC 9562)."""
    return _versioned(f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}", "7")


def usage_event_id(request_id: str, kind: UsageKind) -> str:
    """The id of the one event of this kind that a request can have."""
    return _uuid5(f"{request_id}/{kind}")


def derived_id(*parts: str) -> str:
    """An id computed from what it names: the same parts always give the same id."""
    return _uuid5("/".join(parts))


def _uuid5(name: str) -> str:
    """`str(uuid.uuid5(…))` without the objects in between, which cost several times as much as the digest."""
    return _versioned(hashlib.sha1(_EVENTS.bytes + name.encode(), usedforsecurity=False).hexdigest(), "5")


def _versioned(text: str, version: str) -> str:
    """32 or more hexadecimal digits as a UUID: the version in the 13th, the variant in the upper bits of the 17th."""
    return f"{text[:8]}-{text[8:12]}-{version}{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"
