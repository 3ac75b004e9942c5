"""`/api/v1/billing/rerating`: calls of past days at the prices that the catalog has for them now. Admins only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from common.errors import BadRequest
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from common.money import Money
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from billing.api.dependencies import Day, Flows, SignedAdmin
from billing.domain.rerating import Difference, Place
from billing.flows.rerating import Period, Shown
from billing.store.reratings import Booked

router = APIRouter(prefix="/api/v1/billing/rerating", tags=["billing"])

_NO_ZERO_BYTE = r"^[^\x00]*$"
Name = Annotated[str | None, Field(min_length=1, max_length=256, pattern=_NO_ZERO_BYTE)]
ReratingId = Annotated[str, Path(max_length=64, pattern=_NO_ZERO_BYTE)]


class AskedPeriod(BaseModel):
    """UTC days, both included, on which calls began; a provider's or a model's calls, or all."""

    model_config = ConfigDict(extra="forbid")

    first_day: Day
    last_day: Day
    provider_type: Name = None
    model: Name = None

    def to_period(self) -> Period:
        """As the journey takes it."""
        return Period(self.first_day, self.last_day, self.provider_type, self.model)


class ReratedRow(BaseModel):
    """What changes for an account, a provider's model and a day."""

    account: str
    provider_type: str
    model: str
    day: date
    attempts: int
    before_usd: Money
    after_usd: Money
    difference_usd: Money


class RerateItem(BaseModel):
    """What would change, or what was booked (`booked_at`). `rows` are the thousand with the largest differences, of
    `rows_in_all`; the amounts are those of the changed calls. `unpriced_attempts` have no price now, and stay."""

    id: str
    first_day: date
    last_day: date
    provider_type: str | None
    model: str | None
    calls: int
    before_usd: Money
    after_usd: Money
    difference_usd: Money
    seen_calls: int | None = None
    unpriced_attempts: int | None = None
    rows_in_all: int | None = None
    booked_by: str | None = None
    booked_at: datetime | None = None
    rows: list[ReratedRow] | None = None


@router.post("")
async def show_rerating(body: AskedPeriod, billing: Flows, caller: SignedAdmin) -> RerateItem:
    """What final calls of these days would cost at the prices that the catalog has for them now. Nothing is written."""
    return _shown(body, await billing.rerating.show(body.to_period()))


@router.post("/{rerating_id}/book")
async def book_rerating(rerating_id: ReratingId, body: AskedPeriod, billing: Flows, caller: SignedAdmin) -> RerateItem:
    """Book what was shown under this id, as corrections; 409 when it would be something else by now. The same id again
    books nothing."""
    booked = await billing.rerating.book(caller.actor, body.to_period(), rerating_id)
    return _booked(booked, _rows(booked.places))


@router.get("")
async def list_reratings(
    billing: Flows, caller: SignedAdmin, limit: Limit = 50, cursor: Cursor = None
) -> Page[RerateItem]:
    """Re-ratings that were booked, newest first, without their rows."""
    found = await billing.rerating.page(_position(cursor), limit)
    following = encode_cursor(found[-1].booked_at.isoformat()) if len(found) == limit else None
    return Page(items=[_booked(one, None) for one in found], next_cursor=following)


def _shown(asked: AskedPeriod, shown: Shown) -> RerateItem:
    return RerateItem(
        id=shown.id,
        **asked.model_dump(),
        calls=shown.calls,
        **_amounts(shown.total.before, shown.total.after),
        seen_calls=shown.seen,
        unpriced_attempts=shown.unpriced,
        rows_in_all=shown.place_count,
        rows=_rows(shown.places),
    )


def _booked(booked: Booked, rows: list[ReratedRow] | None) -> RerateItem:
    return RerateItem(
        id=booked.id,
        first_day=booked.first_day,
        last_day=booked.last_day,
        provider_type=booked.provider_type,
        model=booked.model,
        calls=booked.calls,
        **_amounts(booked.before, booked.after),
        booked_by=booked.booked_by,
        booked_at=booked.booked_at,
        rows=rows,
    )


def _rows(places: Sequence[tuple[Place, Difference]]) -> list[ReratedRow]:
    return [
        ReratedRow(
            account=place.account,
            provider_type=place.provider_type,
            model=place.model,
            day=place.day,
            attempts=one.attempts,
            **_amounts(one.before, one.after),
        )
        for place, one in places
    ]


def _amounts(before: Decimal, after: Decimal) -> dict[str, Money]:
    was, becomes = Money(before), Money(after)
    return {"before_usd": was, "after_usd": becomes, "difference_usd": becomes - was}


def _position(cursor: str | None) -> datetime | None:
    match decode_cursor(cursor, 1):
        case None:
            return None
        case [str(last)]:
            try:
                return datetime.fromisoformat(last)
            except ValueError as error:
                raise BadRequest("unknown cursor") from error
        case _:
            raise BadRequest("unknown cursor")
