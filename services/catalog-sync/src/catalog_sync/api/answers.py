"""What every route shares: the flows behind it, and the answer to a write.

A write answers once its snapshots are out, naming their revision, so that whoever forwarded it can wait for its own
mirror. When that takes longer than a second the answer goes out all the same and says `x-tollgate-pending`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from common.errors import BadRequest
from common.http.app import revision_header
from common.http.pages import decode_cursor
from common.http.sessions import Caller, current_admin
from common.postgres.outbox import Relay
from fastapi import Depends, Request

from catalog_sync.flows import CatalogSync

_PUBLISH_SECONDS = 1.0
_PENDING_HEADER = "x-tollgate-pending"


def catalog_of(request: Request) -> CatalogSync:
    """The flows of this process."""
    catalog: CatalogSync = request.app.state.catalog
    return catalog


def relay_of(request: Request) -> Relay:
    """The outbox relay of this process."""
    relay: Relay = request.app.state.relay
    return relay


Catalog = Annotated[CatalogSync, Depends(catalog_of)]
Telling = Annotated[Relay, Depends(relay_of)]
Admin = Annotated[Caller, Depends(current_admin)]


async def told(relay: Relay, outbox_id: int) -> dict[str, str]:
    """Wait until a write's messages are out; the headers of its answer."""
    revisions = await relay.published(outbox_id, _PUBLISH_SECONDS)
    return {_PENDING_HEADER: "true"} if revisions is None else revision_header(revisions)


def instant_and_id(cursor: str | None) -> tuple[datetime, str] | None:
    """The position that a cursor of a list by time stands for; BadRequest for one that is not ours."""
    position = decode_cursor(cursor, 2)
    if position is None:
        return None
    try:
        instant = datetime.fromisoformat(str(position[0]))
    except ValueError as error:
        raise BadRequest("unknown cursor") from error
    if instant.tzinfo is None:
        raise BadRequest("unknown cursor")
    return instant, str(position[1])
