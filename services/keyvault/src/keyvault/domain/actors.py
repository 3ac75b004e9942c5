"""Who does something, for rules and for the audit trail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A user (by id), a service (`service:gateway`), or this service by itself (`system`); `origin` is an address."""

    id: str
    is_admin: bool = False
    origin: str | None = None


SYSTEM = Actor("system", is_admin=True)
"""This service itself: at start, or on a schedule."""
