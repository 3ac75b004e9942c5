"""`GET /api/v1/billing/ledger`: the lines of the double-entry ledger."""

from __future__ import annotations

from datetime import datetime

from common.errors import BadRequest
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from common.money import Money
from fastapi import APIRouter
from pydantic import BaseModel

from billing.api.dependencies import MAX_BIGINT, Flows, Signed, Wanted, visible_user
from billing.domain.views import LedgerFilter, LedgerLine

router = APIRouter(prefix="/api/v1/billing", tags=["billing"])


class LedgerItem(BaseModel):
    """One line. The lines of a transaction sum to zero; `period` is the month that the amount counts in."""

    id: str
    transaction_id: str
    account: str
    amount_usd: Money
    kind: str
    request_id: str
    event_id: str
    period: str
    occurred_at: datetime
    booked_at: datetime


@router.get("/ledger")
async def get_ledger(
    billing: Flows,
    caller: Signed,
    api_key_id: Wanted = None,
    request_id: Wanted = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[LedgerItem]:
    """Lines of the ledger, newest first. Users see those of their own calls, admins all."""
    wanted = LedgerFilter(api_key_id, visible_user(caller), request_id)
    lines = await billing.ledger(wanted, _position(cursor), limit)
    following = encode_cursor(lines[-1].id) if len(lines) == limit else None
    return Page(items=[_item(line) for line in lines], next_cursor=following)


def _item(line: LedgerLine) -> LedgerItem:
    return LedgerItem(
        id=str(line.id),
        transaction_id=str(line.transaction_id),
        account=line.account,
        amount_usd=Money(line.amount),
        kind=line.kind,
        request_id=line.request_id,
        event_id=str(line.event_id),
        period=f"{line.month.year:04}-{line.month.month:02}",
        occurred_at=line.occurred_at,
        booked_at=line.booked_at,
    )


def _position(cursor: str | None) -> int | None:
    match decode_cursor(cursor, 1):
        case None:
            return None
        case [int(line_id)] if 0 <= line_id <= MAX_BIGINT:
            return line_id
        case _:
            raise BadRequest("unknown cursor")
