"""What every route of billing takes: the journeys, and who calls."""

from __future__ import annotations

from typing import Annotated, cast

from common.http.sessions import Caller, current_caller
from fastapi import Depends, Query, Request

from billing.flows import Billing


async def _billing(request: Request) -> Billing:
    return cast(Billing, request.app.state.billing)


Flows = Annotated[Billing, Depends(_billing)]
Signed = Annotated[Caller, Depends(current_caller)]
Wanted = Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")]
"""An id to filter by; Postgres holds no text with a zero byte."""

MAX_BIGINT = 2**63 - 1


def visible_user(caller: Caller) -> str | None:
    """Whose rows a caller sees: everybody's (None) for admins, else their own."""
    return None if caller.is_admin else caller.user_id
