"""Writers of the catalog take turns: of several replicas, and of several requests in one."""

from __future__ import annotations

from common.postgres.pool import Connection


async def take_turn(connection: Connection) -> None:
    """Wait until no other transaction writes the catalog; the turn ends with the caller's transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.catalog'))")


async def waiting_snapshots(connection: Connection) -> set[str]:
    """The bucket keys that the outbox still has something to tell about."""
    rows = await connection.fetch("SELECT DISTINCT key FROM outbox WHERE kind <> 'event'")
    return {str(row["key"]) for row in rows}
