"""The audit row of an act at a service: told by the act's own transaction, chained into the one trail by keyvault."""

from __future__ import annotations

from datetime import datetime

from common.actors import Actor
from common.contracts.changes import AUDIT_RECORDED, AuditRecorded
from common.ids import uuid7
from common.postgres.outbox import Message, event


def audited(service: str, actor: Actor, action: str, subject: str, at: datetime, **detail: str) -> Message:
    """Who did what to which thing, when, from where. `detail` never holds a secret."""
    recorded = AuditRecorded(actor=actor.id, action=action, subject=subject, at=at, origin=actor.origin, detail=detail)
    return event(f"audit.recorded.{service}", AUDIT_RECORDED, uuid7(), at, f"/{service}", recorded)
