"""`/api/v1/users`: accounts and what each may use in all, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.contracts.snapshots import AccountTier, Role
from common.http.pages import Cursor, Limit, Page, encode_cursor
from fastapi import APIRouter

from keyvault.api.answers import AnswersWhenTold, ByAdmin, Journeys, PathId, id_position
from keyvault.api.terms import GivenLimits, ShownLimits
from keyvault.domain.accounts import User
from keyvault.domain.limits import LIMITS

router = APIRouter(prefix="/api/v1/users", tags=["accounts"])


class ShownUser(ShownLimits):
    """One account; its limits count over all its keys."""

    id: str
    email: str
    name: str
    role: Role
    tier: AccountTier
    enabled: bool
    created_at: datetime
    updated_at: datetime


class ChangeUser(GivenLimits):
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


@router.get("/{user_id}")
async def show_user(user_id: PathId, by: ByAdmin, keyvault: Journeys) -> ShownUser:
    """One account."""
    return _shown(await keyvault.users.user(user_id))


@router.patch("/{user_id}")
async def change_user(
    user_id: PathId, body: ChangeUser, by: ByAdmin, keyvault: Journeys, told: AnswersWhenTold
) -> ShownUser:
    """Set role, tier, enabled or limits; ends the user's sessions when one of the first three differs."""
    change = body.model_dump(exclude_unset=True)
    user, outbox_id = await keyvault.users.change_standing(by, user_id, change)
    await told.wait(outbox_id)
    return _shown(user)


def _shown(user: User) -> ShownUser:
    limits: dict[str, Any] = {name: getattr(user, name) for name in LIMITS}
    return ShownUser(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        tier=user.tier,
        enabled=user.enabled,
        created_at=user.created_at,
        updated_at=user.updated_at,
        **limits,
    )
