"""`GET /api/v1/billing/statements`: what each account came to in a closed month."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from common.errors import BadRequest
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from common.money import Money
from fastapi import APIRouter, Query
from pydantic import BaseModel

from billing.api.dependencies import Flows, Signed, visible_user
from billing.domain.charges import month_named
from billing.domain.statements import Statement

router = APIRouter(prefix="/api/v1/billing", tags=["billing"])


class StatementItem(BaseModel):
    """An account's closed month. `late_usd` is what came too late for months that were closed before."""

    period: str
    account: str
    usage_usd: Money
    corrections_usd: Money
    late_usd: Money
    total_usd: Money
    lines: int
    closed_at: datetime


@router.get("/statements")
async def list_statements(
    billing: Flows,
    caller: Signed,
    period: Annotated[str | None, Query(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[StatementItem]:
    """Closed statements, newest month first. Users see those of their own keys, admins all."""
    month = month_named(period) if period else None
    found = await billing.statements.page(month, visible_user(caller), _position(cursor), limit)
    last = found[-1] if len(found) == limit else None
    following = encode_cursor(last.month.year, last.month.month, last.account) if last else None
    return Page(items=[_item(one) for one in found], next_cursor=following)


def _item(found: Statement) -> StatementItem:
    return StatementItem(
        period=found.month.name,
        account=found.account,
        usage_usd=Money(found.usage),
        corrections_usd=Money(found.corrections),
        late_usd=Money(found.late),
        total_usd=Money(found.total),
        lines=found.lines,
        closed_at=found.closed_at,
    )


def _position(cursor: str | None) -> tuple[int, int, str] | None:
    match decode_cursor(cursor, 3):
        case None:
            return None
        case [int(year), int(month), str(account)] if 0 < year < 10_000 and 0 < month < 13 and "\0" not in account:
            return year, month, account
        case _:
            raise BadRequest("unknown cursor")
