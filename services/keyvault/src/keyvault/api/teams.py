"""`/api/v1/teams`: teams with their limits and members. Admins write; members read the teams they are in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.http.pages import Cursor, Limit, Page, encode_cursor
from fastapi import APIRouter
from pydantic import BaseModel

from keyvault.api.answers import AnswersWhenTold, Asked, ByAdmin, ByUser, Journeys, PathId, id_position
from keyvault.api.terms import GivenLimits, ShownLimits, Text
from keyvault.domain.limits import LIMITS
from keyvault.domain.teams import Member, Team

router = APIRouter(prefix="/api/v1/teams", tags=["teams"])


class ChangeTeam(GivenLimits):
    """What to set of a team; what is left out stays."""

    name: Text = "team"
    enabled: bool = True


class CreateTeam(ChangeTeam):
    """A new team."""

    name: Text


class AddMember(Asked):
    """Somebody for a team to take in."""

    user_id: Text


class ShownTeam(ShownLimits):
    """One team."""

    id: str
    name: str
    enabled: bool
    created_at: datetime
    updated_at: datetime


class ShownMember(BaseModel):
    """Somebody who is in a team."""

    user_id: str
    email: str
    name: str
    added_at: datetime


@router.post("", status_code=201)
async def create_team(body: CreateTeam, by: ByAdmin, keyvault: Journeys, told: AnswersWhenTold) -> ShownTeam:
    """Make a team."""
    team, outbox_id = await keyvault.teams.create(by, body.model_dump(exclude_unset=True))
    await told.wait(outbox_id)
    return _shown(team)


@router.get("")
async def list_teams(by: ByUser, keyvault: Journeys, limit: Limit = 50, cursor: Cursor = None) -> Page[ShownTeam]:
    """The teams that the caller is in, the newest first; for admins all."""
    found = await keyvault.teams.page(by, id_position(cursor), limit + 1)
    following = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return Page(items=[_shown(team) for team in found[:limit]], next_cursor=following)


@router.get("/{team_id}")
async def show_team(team_id: PathId, by: ByUser, keyvault: Journeys) -> ShownTeam:
    """One team."""
    return _shown(await keyvault.teams.team(by, team_id))


@router.patch("/{team_id}")
async def change_team(
    team_id: PathId, body: ChangeTeam, by: ByAdmin, keyvault: Journeys, told: AnswersWhenTold
) -> ShownTeam:
    """Set a team's name, limits, or whether its keys are let in."""
    team, outbox_id = await keyvault.teams.change(by, team_id, body.model_dump(exclude_unset=True))
    await told.wait(outbox_id)
    return _shown(team)


@router.delete("/{team_id}", status_code=204)
async def remove_team(team_id: PathId, by: ByAdmin, keyvault: Journeys, told: AnswersWhenTold) -> None:
    """End a team and revoke its keys, at every gateway before this answers."""
    await told.wait(await keyvault.teams.remove(by, team_id))


@router.get("/{team_id}/members")
async def list_members(
    team_id: PathId, by: ByUser, keyvault: Journeys, limit: Limit = 50, cursor: Cursor = None
) -> Page[ShownMember]:
    """Who is in a team."""
    found = await keyvault.teams.members(by, team_id, id_position(cursor), limit + 1)
    following = encode_cursor(found[limit - 1].user_id) if len(found) > limit else None
    return Page(items=[_shown_member(member) for member in found[:limit]], next_cursor=following)


@router.post("/{team_id}/members", status_code=201)
async def add_member(team_id: PathId, body: AddMember, by: ByAdmin, keyvault: Journeys) -> ShownMember:
    """Take somebody into a team."""
    return _shown_member(await keyvault.teams.add_member(by, team_id, body.user_id))


@router.delete("/{team_id}/members/{user_id}", status_code=204)
async def remove_member(team_id: PathId, user_id: PathId, by: ByAdmin, keyvault: Journeys) -> None:
    """Take somebody out of a team."""
    await keyvault.teams.remove_member(by, team_id, user_id)


def _shown(team: Team) -> ShownTeam:
    members: dict[str, Any] = {name: getattr(team, name) for name in LIMITS}
    return ShownTeam(
        id=team.id,
        name=team.name,
        enabled=team.enabled,
        created_at=team.created_at,
        updated_at=team.updated_at,
        **members,
    )


def _shown_member(member: Member) -> ShownMember:
    return ShownMember(user_id=member.user_id, email=member.email, name=member.name, added_at=member.added_at)
