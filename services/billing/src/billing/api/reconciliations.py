"""`/api/v1/billing/reconciliations`: providers' bills against the ledger. Admins only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Annotated

from common.errors import BadRequest
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from common.money import Money
from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from billing.api.dependencies import Day, Flows, SignedAdmin, Wanted
from billing.domain.bills import Format, MatchedRow
from billing.domain.charges import PRECISION
from billing.store.reconciliations import Reconciliation

router = APIRouter(prefix="/api/v1/billing/reconciliations", tags=["billing"])

_MOST_CHARACTERS = 4_000_000
_NO_ZERO_BYTE = r"^[^\x00]*$"
ProviderType = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_-]+$")]
ReconciliationId = Annotated[str, Path(max_length=64, pattern=_NO_ZERO_BYTE)]


class UploadedBill(BaseModel):
    """A provider's bill: `content` is what it let one download, JSON or CSV, as text. `include_simulated` counts what
    the simulator answered, too."""

    model_config = ConfigDict(extra="forbid")

    provider_type: ProviderType
    format: Format
    content: Annotated[str, Field(max_length=_MOST_CHARACTERS)]
    include_simulated: bool = False


class AskedBill(BaseModel):
    """A bill that a provider is to be asked for: UTC days, both included. Without a format its costs are meant."""

    model_config = ConfigDict(extra="forbid")

    provider_type: ProviderType
    first_day: Day
    last_day: Day
    format: Format | None = None


class DayItem(BaseModel):
    """A day of a model (empty: of all), billed and booked."""

    day: date
    model: str
    billed_usd: Money | None
    booked_usd: Money
    drift_usd: Money | None
    billed_tokens: int | None
    booked_tokens: int
    is_off: bool


class ReconciliationItem(BaseModel):
    """One bill and what came of it. `drift_percent` is null where nothing was booked; `rows` stand in the answer for one
    reconciliation only."""

    id: str
    provider_type: str
    format: str
    first_day: date
    last_day: date
    billed_usd: Money | None
    booked_usd: Money
    drift_usd: Money
    drift_percent: Decimal | None
    is_alarming: bool
    rows_off: int
    created_by: str
    created_at: datetime
    accepted_by: str | None
    accepted_at: datetime | None
    rows: list[DayItem] | None = None


@router.post("", status_code=201)
async def upload_bill(body: UploadedBill, billing: Flows, caller: SignedAdmin) -> ReconciliationItem:
    """Hold a bill against the ledger, by provider, model and day. A drift of more than 1 % is alarming."""
    made, rows = await billing.reconciling.upload(
        caller.actor, body.provider_type, body.format, body.content, with_simulated=body.include_simulated
    )
    return _item(made, rows)


@router.post("/fetch", status_code=201)
async def fetch_bill(body: AskedBill, billing: Flows, caller: SignedAdmin) -> ReconciliationItem:
    """Ask a provider for its bill, with the operator's admin key, and hold it against the ledger like one that is given."""
    made, rows = await billing.reconciling.fetch(
        caller.actor, body.provider_type, body.format, body.first_day, body.last_day
    )
    return _item(made, rows)


@router.get("")
async def list_reconciliations(
    billing: Flows, caller: SignedAdmin, provider: Wanted = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[ReconciliationItem]:
    """Reconciliations, newest first."""
    found = await billing.reconciling.page(provider, _position(cursor), limit)
    following = encode_cursor(found[-1].id) if len(found) == limit else None
    return Page(items=[_item(one) for one in found], next_cursor=following)


@router.get("/{reconciliation_id}")
async def show_reconciliation(
    reconciliation_id: ReconciliationId, billing: Flows, caller: SignedAdmin
) -> ReconciliationItem:
    """One reconciliation with its rows."""
    return _item(*await billing.reconciling.one(reconciliation_id))


@router.post("/{reconciliation_id}/accept")
async def accept_drift(reconciliation_id: ReconciliationId, billing: Flows, caller: SignedAdmin) -> ReconciliationItem:
    """Book the drift as one correction."""
    return _item(await billing.reconciling.accept(caller.actor, reconciliation_id))


def _item(found: Reconciliation, rows: Sequence[MatchedRow] | None = None) -> ReconciliationItem:
    return ReconciliationItem(
        id=found.id,
        provider_type=found.provider_type,
        format=found.format,
        first_day=found.first_day,
        last_day=found.last_day,
        billed_usd=Money(found.billed) if found.billed is not None else None,
        booked_usd=Money(found.booked),
        drift_usd=Money(found.drift),
        drift_percent=_percent(found.drift_ratio),
        is_alarming=found.is_alarming,
        rows_off=found.rows_off,
        created_by=found.created_by,
        created_at=found.created_at,
        accepted_by=found.accepted_by,
        accepted_at=found.accepted_at,
        rows=[_day(row) for row in rows] if rows is not None else None,
    )


def _percent(ratio: Decimal | None) -> Decimal | None:
    if ratio is None:
        return None
    with localcontext() as context:
        context.prec = PRECISION  # of next to nothing a bill can be a great many times
        return (ratio * 100).quantize(Decimal("0.0001"))


def _day(row: MatchedRow) -> DayItem:
    return DayItem(
        day=row.day,
        model=row.model,
        billed_usd=Money(row.billed) if row.billed is not None else None,
        booked_usd=Money(row.booked),
        drift_usd=Money(row.drift) if row.drift is not None else None,
        billed_tokens=row.billed_tokens,
        booked_tokens=row.booked_tokens,
        is_off=row.is_off,
    )


def _position(cursor: str | None) -> str | None:
    match decode_cursor(cursor, 1):
        case None:
            return None
        case [str(last)] if "\0" not in last:
            return last
        case _:
            raise BadRequest("unknown cursor")
