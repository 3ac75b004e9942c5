"""SQL for what re-ratings changed of calls: kept once for good, and looked up by call.

Whoever logs calls shares the lock, whoever keeps corrections has it alone: so either the one finds the other's row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from common.postgres.pool import Connection

from analytics.domain.corrections import Correction

_SECONDS = 600.0


async def share(connection: Connection) -> None:
    """Keep corrections out until the transaction ends; others may log calls meanwhile."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared(hashtext(current_schema() || '.corrections'))")


async def take(connection: Connection) -> None:
    """Keep out calls and other corrections until the transaction ends; waits for those under way."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.corrections'))", timeout=_SECONDS
    )


async def insert(connection: Connection, corrections: Sequence[Correction], at: datetime) -> list[Correction]:
    """Keep corrections; those that were not kept before."""
    rows = await connection.fetch(
        "INSERT INTO corrections (request_id, rerating_id, cost, operator_cost, recorded_at)"
        " SELECT *, $5::timestamptz FROM unnest($1::text[], $2::text[], $3::numeric[], $4::numeric[])"
        " AS c (request_id, rerating_id) ORDER BY c.request_id, c.rerating_id"
        " ON CONFLICT (request_id, rerating_id) DO NOTHING RETURNING request_id, rerating_id, cost, operator_cost",
        [one.request_id for one in corrections],
        [one.rerating_id for one in corrections],
        [one.cost for one in corrections],
        [one.operator_cost for one in corrections],
        at,
    )
    return [Correction(**dict(row)) for row in rows]


async def of(connection: Connection, request_ids: Collection[str]) -> list[Correction]:
    """What is kept of these calls."""
    rows = await connection.fetch(
        "SELECT request_id, rerating_id, cost, operator_cost FROM corrections WHERE request_id = ANY($1::text[])",
        list(request_ids),
    )
    return [Correction(**dict(row)) for row in rows]
