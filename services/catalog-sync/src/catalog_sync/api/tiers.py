"""`/api/v1/tiers`: which models the keys of each account tier may call, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from common.contracts.snapshots import AccountTier
from common.http.pages import Page
from common.http.sessions import current_admin
from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog_sync.api.answers import Admin, Catalog, Telling, told

router = APIRouter(prefix="/api/v1/tiers", tags=["tiers"], dependencies=[Depends(current_admin)])

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=321)]


class TierDraft(BaseModel):
    """A tier's whole rule: patterns `provider type/name`, where `*` stands for anything; `*` alone allows everything."""

    model_config = ConfigDict(extra="forbid")

    allowed: Annotated[list[Pattern], Field(max_length=200)]


class TierEntry(BaseModel):
    """A tier's rule as it is shown."""

    model_config = ConfigDict(from_attributes=True)

    tier: AccountTier
    allowed: list[str]
    updated_at: datetime


@router.get("")
async def list_tiers(catalog: Catalog) -> Page[TierEntry]:
    """Every tier's rule, from the least tier to the most."""
    return Page(items=[TierEntry.model_validate(rule) for rule in await catalog.list_tiers()])


@router.get("/{tier}")
async def show_tier(tier: str, catalog: Catalog) -> TierEntry:
    """One tier's rule."""
    return TierEntry.model_validate(await catalog.show_tier(tier))


@router.put("/{tier}", response_model=TierEntry)
@router.patch("/{tier}", response_model=TierEntry)
async def change_tier(tier: AccountTier, body: TierDraft, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Give a tier another rule, which replaces the whole one before."""
    rule, last = await catalog.change_tier(admin.actor, tier, body.allowed)
    entry = TierEntry.model_validate(rule).model_dump(mode="json")
    return JSONResponse(entry, 200, await told(relay, last))
