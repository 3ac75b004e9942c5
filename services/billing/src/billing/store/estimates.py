"""SQL for charges whose final event has not come."""

from __future__ import annotations

from datetime import datetime

from common.postgres.pool import Connection

from billing.domain.charges import Charge
from billing.store.charges import read_row


async def page(connection: Connection, since: datetime, after: str, limit: int) -> list[Charge]:
    """Estimates that were booked since an instant, in the order of their requests from above `after`."""
    rows = await connection.fetch(
        "SELECT request_id, event_id, state, api_key_id, user_id, team_id, provider_type, year, month, cost,"
        " operator_cost, input_tokens, output_tokens, occurred_at, counted, is_simulated, is_billable, attempts, settled"
        " FROM charges WHERE state = 'estimated' AND booked_at >= $1 AND request_id > $2 ORDER BY request_id LIMIT $3",
        since,
        after,
        limit,
    )
    return [read_row(row) for row in rows]
