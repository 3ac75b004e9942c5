"""Who does something, as the audit trail wants to know: a user by id, or a service, and the address it was asked from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts; `origin` is an address, None where there is none."""

    id: str
    origin: str | None = None
