"""Table `revisions`: the number by which a reader knows whether what it made of the catalog still holds."""

from __future__ import annotations

from datetime import datetime

from common.postgres.pool import Connection


async def next_revision(connection: Connection) -> None:
    """Say that the catalog changes with this transaction."""
    await connection.execute("UPDATE revisions SET number = number + 1")


async def revision_at(connection: Connection, now: datetime) -> str:
    """Changes with every write of the catalog, and when a price that was written down ahead starts."""
    row = await connection.fetchrow(
        "SELECT number, (SELECT max(starts_at) FROM prices WHERE starts_at <= $1) AS latest_start FROM revisions", now
    )
    assert row is not None
    return f"{row['number']}/{row['latest_start']}"
