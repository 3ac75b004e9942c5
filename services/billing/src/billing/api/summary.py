"""`GET /api/v1/billing/summary`: what each key used and cost, month by month."""

from __future__ import annotations

from typing import Annotated

from common.errors import BadRequest
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from common.money import Money
from fastapi import APIRouter, Query
from pydantic import BaseModel

from billing.api.dependencies import Flows, Signed, Wanted, visible_user
from billing.domain.views import MonthlySummary, SummaryFilter, SummaryPosition

router = APIRouter(prefix="/api/v1/billing", tags=["billing"])


class SummaryItem(BaseModel):
    """One key's month. `api_key_id` is null for calls of a signed-in user without a key."""

    api_key_id: str | None
    name: str | None
    year: int
    month: int
    total_requests: int
    input_tokens: int
    output_tokens: int
    total_cost_usd: Money


@router.get("/summary")
async def get_summary(
    billing: Flows,
    caller: Signed,
    api_key_id: Wanted = None,
    year: Annotated[int | None, Query(ge=1970, le=9999)] = None,
    month: Annotated[int | None, Query(ge=1, le=12)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SummaryItem]:
    """Requests, tokens and cost a key and month, newest month first. Users see their own calls, admins all."""
    wanted = SummaryFilter(api_key_id, visible_user(caller), year, month)
    rows = await billing.summaries(wanted, _position(cursor), limit)
    return Page(items=[_item(row) for row in rows], next_cursor=_next(rows, limit))


def _item(row: MonthlySummary) -> SummaryItem:
    return SummaryItem(
        api_key_id=row.api_key_id,
        name=row.name,
        year=row.month.year,
        month=row.month.month,
        total_requests=row.total_requests,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        total_cost_usd=Money(row.total_cost),
    )


def _next(rows: list[MonthlySummary], limit: int) -> str | None:
    if len(rows) < limit:
        return None
    last = rows[-1]
    return encode_cursor(last.month.year, last.month.month, last.api_key_id or "")


def _position(cursor: str | None) -> SummaryPosition | None:
    match decode_cursor(cursor, 3):
        case None:
            return None
        case [int(year), int(month), str(key)] if 0 < year < 10_000 and 0 < month < 13 and "\0" not in key:
            return year, month, key
        case _:
            raise BadRequest("unknown cursor")
