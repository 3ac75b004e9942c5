"""`/api/v1/users`: accounts, for admins."""

from __future__ import annotations

from datetime import datetime

from common.contracts.snapshots import AccountTier, Role
from common.http.pages import Cursor, Limit, Page, encode_cursor
from fastapi import APIRouter
from pydantic import BaseModel

from keyvault.api.answers import AnswersWhenTold, Asked, ByAdmin, Journeys, PathId, id_position
from keyvault.domain.accounts import User

router = APIRouter(prefix="/api/v1/users", tags=["accounts"])


class ShownUser(BaseModel):
    """One account."""

    id: str
    email: str
    name: str
    role: Role
    tier: AccountTier
    enabled: bool
    created_at: datetime
    updated_at: datetime


class ChangeUser(Asked):
    """What an admin may change of an account."""

    role: Role = "user"
    tier: AccountTier = "trial"
    enabled: bool = True


@router.get("")
async def list_users(by: ByAdmin, keyvault: Journeys, limit: Limit = 50, cursor: Cursor = None) -> Page[ShownUser]:
    """Accounts, the newest first."""
    users = await keyvault.users.page(id_position(cursor), limit + 1)
    following = encode_cursor(users[limit - 1].id) if len(users) > limit else None
    return Page(items=[_shown(user) for user in users[:limit]], next_cursor=following)


@router.patch("/{user_id}")
async def change_user(
    user_id: PathId, body: ChangeUser, by: ByAdmin, keyvault: Journeys, told: AnswersWhenTold
) -> ShownUser:
    """Set role, tier or enabled; ends the user's sessions when one of them differs."""
    change = body.model_dump(exclude_unset=True)
    user, outbox_id = await keyvault.users.change_standing(by, user_id, change)
    await told.wait(outbox_id)
    return _shown(user)


def _shown(user: User) -> ShownUser:
    return ShownUser(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        tier=user.tier,
        enabled=user.enabled,
        created_at=user.created_at,
        updated_at=user.updated_at,
    )
