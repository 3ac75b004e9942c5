"""SQL for the calls of a month that used a tier's quota."""

from __future__ import annotations

from collections.abc import Mapping

from common.postgres.pool import Connection

from billing.domain.charges import Month


async def add(connection: Connection, differences: Mapping[tuple[str, Month], int]) -> None:
    """Add calls by scope and month, in the order of their key."""
    rows = sorted(differences.items())
    await connection.execute(
        "INSERT INTO quota_calls AS q (scope, year, month, calls)"
        " SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::bigint[])"
        " ON CONFLICT (year, month, scope) DO UPDATE SET calls = q.calls + EXCLUDED.calls",
        [scope for (scope, _), _ in rows],
        [month.year for (_, month), _ in rows],
        [month.month for (_, month), _ in rows],
        [calls for _, calls in rows],
    )


async def page(connection: Connection, month: Month, after: str, limit: int) -> list[tuple[str, int]]:
    """Calls of a month by scope, from above `after`."""
    rows = await connection.fetch(
        "SELECT scope, calls FROM quota_calls WHERE year = $1 AND month = $2 AND scope > $3 ORDER BY scope LIMIT $4",
        month.year,
        month.month,
        after,
        limit,
    )
    return [(str(row["scope"]), int(row["calls"])) for row in rows]
