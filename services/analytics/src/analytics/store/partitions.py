"""SQL for the months that the request log is partitioned by."""

from __future__ import annotations

from datetime import date

from common.postgres.pool import Connection


async def make(connection: Connection, month: date) -> bool:
    """Make the partition of a month, taking in what is there of it already; False when it exists."""
    return bool(await connection.fetchval("SELECT make_request_partition($1)", month))
