"""Teams: people who share limits and a budget; a key that is a team's counts against it, too.

A disabled or removed team's keys are turned away by every gateway, like those of a disabled user.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.contracts.snapshots import TeamSnapshot
from common.errors import NotFound

from keyvault.domain.limits import Limited, limits_of


class TeamNotFound(NotFound):
    """There is no such team, or the caller is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team(Limited):
    """One team; a removed one stays for the trail."""

    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    enabled: bool = True
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is in a team."""

    user_id: str
    email: str
    name: str
    added_at: datetime


def snapshot_of(team: Team) -> TeamSnapshot:
    """What the gateway is told of a team that was not removed."""
    return TeamSnapshot(id=team.id, name=team.name, enabled=team.enabled, **limits_of(team))
