"""SQL for which event is kept of each request.

Rows are always taken in the order of their key, so that batches that run at the same time wait for each other in turn
and never in a ring.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from common.postgres.pool import Connection

from analytics.domain.log import LoggedCall


async def claim(connection: Connection, calls: Collection[LoggedCall]) -> set[str]:
    """Claim requests of which nothing is kept yet for these calls; returns those that were claimed.

    Waits for a transaction that is just claiming one of them, and claims it if that one fails.
    """
    rows = await connection.fetch(
        "INSERT INTO request_ids (request_id, event_id, kind, started_at)"
        " SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[]) AS c (request_id)"
        " ORDER BY c.request_id"
        " ON CONFLICT (request_id) DO NOTHING RETURNING request_id",
        [call.request_id for call in calls],
        [call.event_id for call in calls],
        [call.call.kind for call in calls],
        [call.started_at for call in calls],
    )
    return {row["request_id"] for row in rows}


async def lock_estimated(connection: Connection, request_ids: Collection[str]) -> dict[str, datetime]:
    """Of these requests those of which an estimate is kept, held until the end of the transaction: when it started."""
    rows = await connection.fetch(
        "SELECT request_id, started_at FROM request_ids WHERE request_id = ANY($1::text[]) AND kind = 'estimated'"
        " ORDER BY request_id FOR UPDATE",
        list(request_ids),
    )
    return {row["request_id"]: row["started_at"] for row in rows}


async def finish(connection: Connection, finals: Collection[LoggedCall]) -> None:
    """Keep the final of requests held by `lock_estimated`."""
    await connection.execute(
        "UPDATE request_ids AS kept SET event_id = c.event_id, kind = 'final', started_at = c.started_at"
        " FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS c (request_id, event_id, started_at)"
        " WHERE kept.request_id = c.request_id",
        [call.request_id for call in finals],
        [call.event_id for call in finals],
        [call.started_at for call in finals],
    )
