"""What every route shares: the flows behind it, and the answer to a write.

A write answers once its snapshots are out, naming their revision, so that whoever forwarded it can wait for its own
mirror. When that takes longer than a second the answer goes out all the same and says `x-tollgate-pending`.
"""

from __future__ import annotations

from typing import Annotated

from common.http.app import revision_header
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
