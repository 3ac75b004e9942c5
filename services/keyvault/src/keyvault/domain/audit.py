"""The audit trail's chain: each entry's hash covers its content and the hash before it.

Whoever changes, removes or swaps an entry must rewrite all that follow it; `first_broken` finds the first that does not
fit. Reading and appending is the store's; who may read it is the API's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from keyvault.domain.actors import Actor

GENESIS_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Act:
    """Something worth a row: who did what to which thing. `detail` never holds a secret."""

    actor: Actor
    action: str
    subject: str
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """Where the chain ends: the id and hash of its last entry."""

    id: int = 0
    hash: str = GENESIS_HASH


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the trail."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    origin: str | None
    detail: Mapping[str, str]
    previous_hash: str
    hash: str


def chained(act: Act, at: datetime, last: Link) -> AuditEntry:
    """The entry that comes after `last`."""
    entry = AuditEntry(
        id=last.id + 1,
        at=at,
        actor=act.actor.id,
        action=act.action,
        subject=act.subject,
        origin=act.actor.origin,
        detail=dict(act.detail),
        previous_hash=last.hash,
        hash="",
    )
    return AuditEntry(**{name: getattr(entry, name) for name in _HASHED}, hash=hash_of(entry))


def hash_of(entry: AuditEntry) -> str:
    """SHA-256 (hex) over everything but the hash itself, as canonical JSON."""
    content = {name: getattr(entry, name) for name in _HASHED}
    content["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    content["detail"] = dict(entry.detail)
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def first_broken(entries: Iterable[AuditEntry], last: Link) -> tuple[int | None, Link]:
    """The id at which the chain after `last` breaks (None when it holds), and where it now ends.

    Entries come in the order of their ids, without gaps.
    """
    for entry in entries:
        if entry.id != last.id + 1 or entry.previous_hash != last.hash or entry.hash != hash_of(entry):
            return last.id + 1, last
        last = Link(entry.id, entry.hash)
    return None, last


_HASHED = ("id", "at", "actor", "action", "subject", "origin", "detail", "previous_hash")
