"""What every route of analytics takes: the journeys, who calls, and texts to filter by."""

from __future__ import annotations

from typing import Annotated, cast

from common.http.sessions import Caller, current_caller
from fastapi import Depends, Request
from pydantic import StringConstraints

from analytics.flows import Analytics


async def _analytics(request: Request) -> Analytics:
    return cast(Analytics, request.app.state.analytics)


Flows = Annotated[Analytics, Depends(_analytics)]
Signed = Annotated[Caller, Depends(current_caller)]
Text = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00]*$")]
"""A text to look for; Postgres holds none with a zero byte."""


def visible_user(caller: Caller) -> str | None:
    """Whose calls a caller sees: everybody's (None) for admins, else their own."""
    return None if caller.is_admin else caller.user_id
