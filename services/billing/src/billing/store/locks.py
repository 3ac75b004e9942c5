"""SQL for advisory locks, and for the one row about admission that they guard.

Bookings share the lock on the counters; whoever must see the counters while nothing is being booked takes it alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from common.postgres.pool import Connection

from billing.domain.charges import Month

_SECONDS = 600.0


class Opened(NamedTuple):
    """Under which epoch admission was opened last, and on which run of Redis."""

    epoch: str
    redis_run_id: str


class Present(NamedTuple):
    """What a booking must know of the moment: the epoch (None: never opened), the last month that was closed."""

    epoch: str | None
    closed: Month | None


async def share_counters(connection: Connection) -> Present:
    """Share the counters with other bookings until the transaction ends; how things stand until then."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared(hashtext(current_schema() || '.counters'))")
    row = await connection.fetchrow(
        "SELECT (SELECT epoch FROM admission) AS epoch, c.year, c.month FROM (VALUES (true)) AS one (row)"
        " LEFT JOIN (SELECT year, month FROM closed_months ORDER BY year DESC, month DESC LIMIT 1) AS c ON true"
    )
    assert row is not None
    return Present(row["epoch"], Month(row["year"], row["month"]) if row["year"] else None)


async def take_counters(connection: Connection) -> None:
    """Have the counters alone until the transaction ends: waits for bookings under way, and keeps others out."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.counters'))", timeout=_SECONDS
    )


async def take_reratings(connection: Connection) -> None:
    """Be the only re-rating until the transaction ends: the final charges that it looks at are nobody else's to change."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.reratings'))", timeout=_SECONDS
    )


async def try_admission(connection: Connection) -> bool:
    """Take the lock on opening admission, until the connection goes back to its pool; False when another replica has
    it."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock(hashtext(current_schema() || '.admission'))"))


async def try_bills(connection: Connection) -> bool:
    """Take the lock on fetching bills by the clock, until the connection goes back to its pool; False when another replica
    has it."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock(hashtext(current_schema() || '.bills'))"))


async def opened(connection: Connection) -> Opened | None:
    """How admission was opened last; None: never."""
    row = await connection.fetchrow("SELECT epoch, redis_run_id FROM admission")
    return Opened(row["epoch"], row["redis_run_id"]) if row else None


async def open_under(connection: Connection, epoch: str, redis_run_id: str, at: datetime) -> None:
    """Keep under which epoch, and on which run of Redis, admission is opened now."""
    await connection.execute(
        "INSERT INTO admission (epoch, redis_run_id, opened_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (is_only) DO UPDATE SET epoch = EXCLUDED.epoch, redis_run_id = EXCLUDED.redis_run_id,"
        " opened_at = EXCLUDED.opened_at",
        epoch,
        redis_run_id,
        at,
    )
