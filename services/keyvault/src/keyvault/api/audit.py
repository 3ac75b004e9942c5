"""`/api/v1/audit`: the audit trail, for admins."""

from __future__ import annotations

from datetime import datetime

from common.errors import BadRequest
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from fastapi import APIRouter
from pydantic import BaseModel

from keyvault.api.answers import ByAdmin, Journeys
from keyvault.domain.audit import AuditEntry

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

_MAX_ID = 2**63 - 1


class ShownEntry(BaseModel):
    """One entry: who did what to which thing, when, from where; and its place in the chain of hashes."""

    id: str
    at: datetime
    actor: str
    action: str
    subject: str
    origin: str | None
    detail: dict[str, str]
    previous_hash: str
    hash: str


@router.get("")
async def list_entries(by: ByAdmin, keyvault: Journeys, limit: Limit = 50, cursor: Cursor = None) -> Page[ShownEntry]:
    """Entries, the newest first."""
    entries = await keyvault.audit_trail.page(_position(cursor), limit + 1)
    following = encode_cursor(entries[limit - 1].id) if len(entries) > limit else None
    return Page(items=[_shown(entry) for entry in entries[:limit]], next_cursor=following)


class VerifiedTrail(BaseModel):
    """Whether the chain of hashes holds; `entries` and `last_hash` say how far it does."""

    intact: bool
    entries: int
    last_hash: str
    broken_at: str | None


@router.get("/verify")
async def verify_trail(by: ByAdmin, keyvault: Journeys) -> VerifiedTrail:
    """Go through the whole trail, entry by entry."""
    found = await keyvault.audit_trail.verify()
    broken_at = None if found.broken_at is None else str(found.broken_at)
    return VerifiedTrail(
        intact=broken_at is None, entries=found.last.id, last_hash=found.last.hash, broken_at=broken_at
    )


def _position(cursor: str | None) -> int | None:
    position = decode_cursor(cursor, 1)
    if position is None:
        return None
    if not isinstance(position[0], int) or not 0 <= position[0] <= _MAX_ID:
        raise BadRequest("unknown cursor")
    return position[0]


def _shown(entry: AuditEntry) -> ShownEntry:
    return ShownEntry(
        id=str(entry.id),
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        origin=entry.origin,
        detail=dict(entry.detail),
        previous_hash=entry.previous_hash,
        hash=entry.hash,
    )
