"""`/api/v1/keys`: virtual keys, one's own or, for admins, everybody's."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from common.contracts.snapshots import AccountTier
from common.http.pages import Cursor, Limit, Page, encode_cursor
from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from keyvault.api.answers import AnswersWhenTold, Asked, ByUser, Journeys, PathId, id_position
from keyvault.api.terms import GivenLimits, Instant, ShownLimits, Text
from keyvault.domain.key_rotations import DAY_SECONDS, MAX_DAYS, MAX_GRACE_SECONDS, RotationSchedule
from keyvault.domain.key_text import imported_key
from keyvault.domain.virtual_keys import VirtualKey
from keyvault.flows.virtual_keys import visible_owner

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

_MAX_METADATA_BYTES = 16_384


def _storable(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # NaN, half a surrogate pair, too deep
        raise ValueError("should be plain JSON") from None
    if len(text) > _MAX_METADATA_BYTES or b"\\u0000" in text:
        raise ValueError(f"should be at most {_MAX_METADATA_BYTES} bytes of JSON, without NUL characters")
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(_storable)]


class GivenTerms(GivenLimits):
    """The terms of a key."""

    name: Text = "key"
    enabled: bool = True
    allowed_models: Annotated[list[Text], Field(max_length=1_000)] | None = None
    tier: AccountTier | None = None
    user_id: Text | None = None
    team_id: Text | None = None
    expires_at: Instant | None = None
    metadata: Metadata = Field(default_factory=dict)
    log_content: bool = False
    cache_ttl_s: Annotated[int, Field(ge=1, le=30 * DAY_SECONDS)] | None = None

    def given(self) -> dict[str, Any]:
        """The members that the request has, as terms."""
        members = self.model_dump(exclude_unset=True, exclude={"key"})
        if members.get("allowed_models") is not None:
            members["allowed_models"] = tuple(dict.fromkeys(members["allowed_models"]))
        return members


class CreateKey(GivenTerms):
    """A new key; `key` imports one that clients already have (admins only)."""

    name: Text
    key: str | None = None


class ChangeKey(GivenTerms):
    """The terms to set; what is left out stays."""


class Rotate(Asked):
    """How long the present secret goes on counting: a day, or what its schedule left it, unless this says less."""

    grace_seconds: int | None = Field(default=None, ge=0, le=MAX_GRACE_SECONDS)


class SetRotation(Asked):
    """Every how many days a key is to get a next secret, and how long the one before goes on counting."""

    every_days: int = Field(ge=1, le=MAX_DAYS)
    grace_seconds: int = Field(default=7 * DAY_SECONDS, ge=0, le=MAX_GRACE_SECONDS)


class ShownRotation(BaseModel):
    """A key's schedule. While `due_since` is set the next secret waits to be taken (`…/rotate`), and the present one
    ends at `secret_ends_at`."""

    every_days: int
    grace_seconds: int
    next_at: datetime
    due_since: datetime | None
    secret_ends_at: datetime | None


class ShownKey(ShownLimits):
    """One key; its secret is never among it."""

    id: str
    name: str
    last4: str
    enabled: bool
    allowed_models: list[str] | None
    tier: AccountTier | None
    user_id: str | None
    team_id: str | None
    expires_at: datetime | None
    metadata: dict[str, Any]
    log_content: bool
    cache_ttl_s: int | None
    created_at: datetime
    last_used_at: datetime | None


class MadeKey(ShownKey):
    """A key with its secret: shown here, once."""

    key: str


class RotatedKey(MadeKey):
    """A key with its next secret, and when the one before stops counting."""

    previous_key_expires_at: datetime | None


@router.post("", status_code=201)
async def create_key(body: CreateKey, by: ByUser, keyvault: Journeys, told: AnswersWhenTold) -> MadeKey:
    """Make a key."""
    imported = imported_key(body.key) if body.key is not None else None
    key, secret, outbox_id = await keyvault.virtual_keys.create(by, body.given(), imported)
    await told.wait(outbox_id)
    return MadeKey(**_members(key), key=secret.reveal())


@router.get("")
async def list_keys(
    by: ByUser,
    keyvault: Journeys,
    user_id: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ShownKey]:
    """Keys that are not revoked, the newest first."""
    owner = visible_owner(by, user_id)
    found = await keyvault.virtual_keys.page(owner, id_position(cursor), limit + 1)
    following = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return Page(items=[ShownKey(**_members(key)) for key in found[:limit]], next_cursor=following)


@router.get("/{key_id}")
async def show_key(key_id: PathId, by: ByUser, keyvault: Journeys) -> ShownKey:
    """One key."""
    return ShownKey(**_members(await keyvault.virtual_keys.key(by, key_id)))


@router.patch("/{key_id}")
async def change_key(
    key_id: PathId, body: ChangeKey, by: ByUser, keyvault: Journeys, told: AnswersWhenTold
) -> ShownKey:
    """Set some of a key's terms."""
    key, outbox_id = await keyvault.virtual_keys.change(by, key_id, body.given())
    await told.wait(outbox_id)
    return ShownKey(**_members(key))


@router.post("/{key_id}/rotate")
async def rotate_key(
    key_id: PathId, by: ByUser, keyvault: Journeys, told: AnswersWhenTold, body: Rotate | None = None
) -> RotatedKey:
    """Give a key a new secret; the present one counts for a grace period."""
    grace_seconds = (body or Rotate()).grace_seconds
    key, secret, outbox_id = await keyvault.virtual_keys.rotate(by, key_id, grace_seconds)
    await told.wait(outbox_id)
    ends = [live.expires_at for live in key.secrets if live.expires_at is not None]
    return RotatedKey(**_members(key), key=secret.reveal(), previous_key_expires_at=max(ends, default=None))


@router.get("/{key_id}/rotation")
async def show_rotation(key_id: PathId, by: ByUser, keyvault: Journeys) -> ShownRotation:
    """A key's rotation schedule."""
    return _rotation(await keyvault.key_rotations.schedule(by, key_id))


@router.put("/{key_id}/rotation")
async def set_rotation(key_id: PathId, body: SetRotation, by: ByUser, keyvault: Journeys) -> ShownRotation:
    """Let a key get a next secret every so many days; what an admin has set only admins change."""
    return _rotation(await keyvault.key_rotations.put(by, key_id, body.every_days, body.grace_seconds))


@router.delete("/{key_id}/rotation", status_code=204)
async def remove_rotation(key_id: PathId, by: ByUser, keyvault: Journeys) -> None:
    """Let a key keep its secret."""
    await keyvault.key_rotations.remove(by, key_id)


@router.delete("/{key_id}", status_code=204)
async def revoke_key(key_id: PathId, by: ByUser, keyvault: Journeys, told: AnswersWhenTold) -> None:
    """Revoke a key, at every gateway before this answers."""
    await told.wait(await keyvault.virtual_keys.revoke(by, key_id))


def _rotation(schedule: RotationSchedule) -> ShownRotation:
    return ShownRotation(
        every_days=schedule.every_days,
        grace_seconds=schedule.grace_seconds,
        next_at=schedule.next_at,
        due_since=schedule.due_since,
        secret_ends_at=schedule.secret_ends_at,
    )


def _members(key: VirtualKey) -> dict[str, Any]:
    terms = key.terms
    return {
        "id": key.id,
        "name": terms.name,
        "last4": key.last4,
        "enabled": key.is_enabled,
        "rate_limit": terms.rate_limit,
        "token_limit": terms.token_limit,
        "max_concurrency": terms.max_concurrency,
        "monthly_budget": terms.monthly_budget,
        "allowed_models": None if terms.allowed_models is None else list(terms.allowed_models),
        "tier": key.tier,
        "user_id": terms.user_id,
        "team_id": terms.team_id,
        "expires_at": terms.expires_at,
        "metadata": dict(terms.metadata),
        "log_content": terms.log_content,
        "cache_ttl_s": terms.cache_ttl_s,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
    }
