"""SQL for advisory locks: what only one replica may do at a time."""

from __future__ import annotations

from common.postgres.pool import Connection


async def try_counters(connection: Connection) -> bool:
    """Take the lock on rebuilding the counters until the transaction ends; False when another replica has it."""
    return bool(
        await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtext(current_schema() || '.counters'))")
    )
