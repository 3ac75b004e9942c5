"""`/api/v1/analytics/requests`: the request log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from common.contracts.usage import Source, Status, UsageRecorded
from common.errors import BadRequest
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from fastapi import APIRouter, Query
from pydantic import AfterValidator

from analytics.api.dependencies import Flows, Signed, Text, visible_user
from analytics.domain.log import LoggedCall, Position, RequestFilter

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])


def _in_utc(at: datetime) -> datetime:
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside of the calendar") from error


Instant = Annotated[datetime | None, AfterValidator(lambda at: at and _in_utc(at))]


class LoggedRequest(UsageRecorded):
    """Every field of the call's usage event, the event's id, and when it came into the log."""

    event_id: str
    recorded_at: datetime | None


@router.get("/requests")
async def get_requests(
    analytics: Flows,
    caller: Signed,
    api_key_id: Text | None = None,
    user_id: Text | None = None,
    team_id: Text | None = None,
    provider: Text | None = None,
    model: Text | None = None,
    status: Status | None = None,
    source: Source | None = None,
    tag: Annotated[Text | None, Query(description="`name`, or `name:value`")] = None,
    from_at: Annotated[Instant, Query(alias="from")] = None,
    to_at: Annotated[Instant, Query(alias="to")] = None,
    q: Annotated[Text | None, Query(description="looked for in ids, names and errors")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[LoggedRequest]:
    """Calls, those that started last first. Users see their own, admins all."""
    name, _, value = (tag or "").partition(":")
    wanted = RequestFilter(
        visible_to=visible_user(caller),
        api_key_id=api_key_id,
        user_id=user_id,
        team_id=team_id,
        provider=provider,
        model=model,
        status=status,
        source=source,
        tag=name or None,
        tag_value=value or None,
        from_at=from_at,
        to_at=to_at,
        text=q or None,
    )
    calls = await analytics.requests(wanted, _position(cursor), limit)
    return Page(items=[_item(call) for call in calls], next_cursor=_next(calls, limit))


@router.get("/requests/{request_id}")
async def get_request(analytics: Flows, caller: Signed, request_id: Text) -> LoggedRequest:
    """One call; another user's is not found."""
    return _item(await analytics.request(request_id, visible_user(caller)))


def _item(logged: LoggedCall) -> LoggedRequest:
    return LoggedRequest(**dict(logged.call), event_id=str(logged.event_id), recorded_at=logged.recorded_at)


def _next(calls: list[LoggedCall], limit: int) -> str | None:
    if len(calls) < limit:
        return None
    return encode_cursor(calls[-1].started_at.isoformat(), calls[-1].request_id)


def _position(cursor: str | None) -> Position | None:
    match decode_cursor(cursor, 2):
        case None:
            return None
        case [str(started_at), str(request_id)] if "\0" not in request_id:
            try:
                return _in_utc(datetime.fromisoformat(started_at)), request_id
            except ValueError as error:
                raise BadRequest("unknown cursor") from error
        case _:
            raise BadRequest("unknown cursor")
