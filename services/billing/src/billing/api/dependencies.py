"""What every route of billing takes: the journeys, who calls, and how the answer to a write waits for its effect."""

from __future__ import annotations

from datetime import date
from typing import Annotated, cast

from common.http.app import revision_header
from common.http.sessions import Caller, current_admin, current_caller
from common.postgres.outbox import Relay
from fastapi import Depends, Query, Request, Response
from pydantic import Field

from billing.domain.budgets import Setter
from billing.flows import Billing
from billing.flows.known import Known

_TOLD_SECONDS = 1.0
_PENDING_HEADER = "x-tollgate-pending"


async def _billing(request: Request) -> Billing:
    return cast(Billing, request.app.state.billing)


async def _known(request: Request) -> Known:
    return cast(Known, request.app.state.known)


class Told:
    """FastAPI dependency of a write: waits until what it tells is out, and says so in the answer's headers."""

    def __init__(self, request: Request, response: Response) -> None:
        self._relay = cast(Relay, request.app.state.relay)
        self._response = response

    async def wait(self, outbox_id: int) -> None:
        """Wait, at most a second, for an outbox row and all before it."""
        revisions = await self._relay.published(outbox_id, _TOLD_SECONDS)
        headers = {_PENDING_HEADER: "true"} if revisions is None else revision_header(revisions)
        self._response.headers.update(headers)


Flows = Annotated[Billing, Depends(_billing)]
Copies = Annotated[Known, Depends(_known)]
Signed = Annotated[Caller, Depends(current_caller)]
SignedAdmin = Annotated[Caller, Depends(current_admin)]
AnswersWhenTold = Annotated[Told, Depends(Told)]
Wanted = Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")]
"""An id to filter by; Postgres holds no text with a zero byte."""
Day = Annotated[date, Field(ge=date(1970, 1, 1), lt=date(9999, 1, 1))]
"""A UTC day that has one before and one after it."""

MAX_BIGINT = 2**63 - 1


def visible_user(caller: Caller) -> str | None:
    """Whose rows a caller sees: everybody's (None) for admins, else their own."""
    return None if caller.is_admin else caller.user_id


def setter_of(caller: Caller) -> Setter:
    """Who calls, as the rules of budgets take them."""
    return Setter(caller.user_id, caller.is_admin, caller.origin)
