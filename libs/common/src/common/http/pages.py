"""Lists of the management APIs: `{"items": […], "next_cursor": …}` with `limit` and `cursor`.

A cursor is opaque to clients: the sort key of the last item, so that pages stay right while rows are added.
"""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, PlainSerializer

from common.errors import BadRequest

Item = TypeVar("Item")

MAX_LIMIT = 1_000
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items a page")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before")]

JsonNumber = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""An amount that a public shape fixes as a JSON number. For showing only: nothing computes with it."""


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = None


def encode_cursor(*position: str | int) -> str:
    """The cursor of a position."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, size: int) -> list[Any] | None:
    """The position of a cursor, of so many parts; None without one, BadRequest for one that is not ours."""
    if cursor is None:
        return None
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError) as error:
        raise BadRequest("unknown cursor") from error
    if not isinstance(position, list) or len(position) != size:
        raise BadRequest("unknown cursor")
    return position
