"""Schedules by which virtual keys get their next secret.

When a schedule falls due, the present secret is given an end and its owner is told; the next secret is made when the
owner comes for it, and shown then, once. So both count side by side until that end, and no secret of ours is ever kept
for somebody to fetch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

DAY_SECONDS = 86_400
MAX_GRACE_SECONDS = 30 * DAY_SECONDS
MAX_DAYS = 3_650


@dataclass(frozen=True, slots=True)
class RotationSchedule:
    """Every so many days; the secret that is replaced goes on counting for the grace period. `due_since`: its owner is
    awaited. `set_by` may change it, and admins."""

    key_id: str
    every_days: int
    grace_seconds: int
    next_at: datetime
    set_by: str
    due_since: datetime | None = None

    @property
    def secret_ends_at(self) -> datetime | None:
        """When the secret ends that is to be replaced; None while none is."""
        return None if self.due_since is None else self.due_since + timedelta(seconds=self.grace_seconds)


def scheduled(key_id: str, every_days: int, grace_seconds: int, set_by: str, now: datetime) -> RotationSchedule:
    """A schedule that begins now."""
    return RotationSchedule(key_id, every_days, grace_seconds, now + timedelta(days=every_days), set_by)
