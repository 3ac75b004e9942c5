"""SQL for settlements that gateways are to make again and that the list in Redis does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.contracts.resettlements import Resettlement
from common.postgres.pool import Connection


async def note(connection: Connection, wanted: Sequence[Resettlement], at: datetime) -> None:
    """Keep these, in the place of what was kept for the same attempts."""
    rows = sorted(wanted, key=lambda one: (one.request_id, one.attempt))
    await connection.execute(
        "INSERT INTO resettlements AS r (request_id, attempt, body, noted_at)"
        " SELECT request_id, attempt, body::jsonb, $4"
        " FROM unnest($1::text[], $2::int[], $3::text[]) AS w (request_id, attempt, body)"
        " ON CONFLICT (request_id, attempt) DO UPDATE SET body = EXCLUDED.body, noted_at = EXCLUDED.noted_at",
        [one.request_id for one in rows],
        [one.attempt for one in rows],
        [one.model_dump_json() for one in rows],
        at,
    )


async def oldest(connection: Connection, limit: int) -> list[Resettlement]:
    """Those that wait longest and that no other replica is at; held until the end of the transaction."""
    rows = await connection.fetch(
        "SELECT body FROM resettlements ORDER BY noted_at, request_id, attempt LIMIT $1 FOR UPDATE SKIP LOCKED", limit
    )
    return [Resettlement.model_validate(row["body"]) for row in rows]


async def remove(connection: Connection, asked: Sequence[Resettlement]) -> None:
    """Forget those that Redis has now."""
    await connection.execute(
        "DELETE FROM resettlements AS r USING unnest($1::text[], $2::int[]) AS a (request_id, attempt)"
        " WHERE r.request_id = a.request_id AND r.attempt = a.attempt",
        [one.request_id for one in asked],
        [one.attempt for one in asked],
    )
