"""`/api/v1/llm/models/quarantine` and prices by hand: where a person decides what a model costs. For admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from common.http.pages import Cursor, Limit, Page, encode_cursor
from common.http.sessions import current_admin
from common.usage import TOKEN_BUCKETS
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from catalog_sync.api.answers import Admin, Catalog, Telling, instant_and_id, told
from catalog_sync.api.shapes import Cost, PriceEntry
from catalog_sync.domain.syncs import HeldItem
from catalog_sync.domain.vetting import Reason

router = APIRouter(prefix="/api/v1/llm/models", tags=["models"], dependencies=[Depends(current_admin)])

State = Literal["open", "accepted", "refused", "withdrawn"]


class HeldEntry(BaseModel):
    """Something that a source says and that is held back: `proposed` beside what we have. `model_id` is null for news
    about many models (`gone`), which `proposed` names."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    source: str
    model_id: str | None
    reason: Reason
    proposed: dict[str, Any]
    present: dict[str, Any] | None
    state: State
    found_at: datetime
    decided_at: datetime | None
    decided_by: str | None

    @classmethod
    def of(cls, item: HeldItem) -> HeldEntry:
        """The item as it is shown."""
        members = {name: getattr(item, name) for name in cls.model_fields if name != "model_id"}
        return cls(**members, model_id=None if item.reason == "gone" else item.subject)


def _of_no_tokens(name: str) -> str:
    if name in TOKEN_BUCKETS:
        raise ValueError("a rate of tokens is no rate of a unit: it is per 1M")
    return name


UnitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$"), AfterValidator(_of_no_tokens)]
"""What a rate is of, where that is not tokens."""


class PriceDraft(BaseModel):
    """A price to set, US dollars per 1M tokens, and `units` per one of what is counted otherwise (`images`,
    `rerank_searches`, `input_audio_seconds`, `input_characters` …): from `starts_at` on (now, when it is left out; in the
    past it is a correction). A pinned one is changed by no source until it is unpinned."""

    model_config = ConfigDict(extra="forbid")

    cost_per_1m_input: Cost
    cost_per_1m_output: Cost
    cost_per_1m_cached_input: Cost | None = None
    cost_per_1m_cache_write: Cost | None = None
    units: dict[UnitName, Cost] = Field(default_factory=dict, max_length=32)
    starts_at: AwareDatetime | None = None
    pinned: bool = False

    def to_rates(self) -> dict[str, Any]:
        """The rates that are given."""
        stated = {
            "input_tokens": self.cost_per_1m_input,
            "output_tokens": self.cost_per_1m_output,
            "cached_input_tokens": self.cost_per_1m_cached_input,
            "cache_write_5m_tokens": self.cost_per_1m_cache_write,
        }
        return {**self.units, **{name: rate for name, rate in stated.items() if rate is not None}}


Source = Annotated[str | None, Query(max_length=128)]


@router.get("/quarantine")
async def list_quarantine(
    catalog: Catalog,
    state: State | None = "open",
    source: Source = None,
    reason: Reason | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[HeldEntry]:
    """What waits for a person, or was decided, the latest first."""
    found = await catalog.list_quarantine(state, source, reason, instant_and_id(cursor), limit + 1)
    last = found[limit - 1 : limit]
    more = encode_cursor(last[0].found_at.isoformat(), last[0].id) if len(found) > limit else None
    return Page(items=[HeldEntry.of(one) for one in found[:limit]], next_cursor=more)


@router.post("/quarantine/{item_id}/accept", response_model=HeldEntry)
async def accept_held(item_id: str, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Take over what a source says."""
    item, last = await catalog.accept(admin.actor, item_id)
    return JSONResponse(HeldEntry.of(item).model_dump(mode="json"), 200, await told(relay, last))


@router.post("/quarantine/{item_id}/refuse", response_model=HeldEntry)
async def refuse_held(item_id: str, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Leave everything as it is."""
    item, last = await catalog.refuse(admin.actor, item_id)
    return JSONResponse(HeldEntry.of(item).model_dump(mode="json"), 200, await told(relay, last))


@router.post("/{model_id}/prices", status_code=201, response_model=PriceEntry)
async def set_price(model_id: str, body: PriceDraft, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Give a model a further dated price; none is ever edited."""
    row, last = await catalog.set_price(admin.actor, model_id, body.to_rates(), body.starts_at, body.pinned)
    return JSONResponse(PriceEntry.of(row).model_dump(mode="json"), 201, await told(relay, last))


@router.delete("/{model_id}/pin", status_code=204)
async def unpin_price(model_id: str, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Let sources change a model's price again."""
    last = await catalog.unpin_price(admin.actor, model_id)
    return Response(status_code=204, headers=await told(relay, last))
