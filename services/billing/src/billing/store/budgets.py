"""SQL for budgets and the thresholds that were told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg
from common.postgres.pool import Connection

from billing.domain.budgets import Budget, Target
from billing.domain.counters import Span

Reached = tuple[str, str, int]
"""A threshold that was reached: budget, period, percent."""


async def in_scopes(connection: Connection, scopes: Collection[str]) -> list[Budget]:
    """The budgets that count any of these scopes."""
    rows = await connection.fetch(
        "SELECT id, owner_user_id, scope, scope_id, counter_scope, period, zone, mode, limit_usd, thresholds,"
        " created_at, updated_at FROM budgets WHERE counter_scope = ANY($1::text[])",
        list(scopes),
    )
    return [_budget(row) for row in rows]


async def spans(connection: Connection) -> list[Span]:
    """Every span that a budget counts by."""
    rows = await connection.fetch("SELECT DISTINCT period, zone FROM budgets")
    return [Span(row["period"], row["zone"]) for row in rows]


async def visible(connection: Connection, user_id: str | None) -> list[Budget]:
    """A user's own budgets and those that limit nobody but them (None: all), the oldest first."""
    rows = await connection.fetch(
        "SELECT id, owner_user_id, scope, scope_id, counter_scope, period, zone, mode, limit_usd, thresholds,"
        " created_at, updated_at FROM budgets"
        " WHERE $1::text IS NULL OR owner_user_id = $1 OR counter_scope = 'user:' || $1"
        " OR starts_with(counter_scope, 'user:' || $1 || '/') ORDER BY created_at, id LIMIT 10000",
        user_id,
    )
    return [_budget(row) for row in rows]


async def find(connection: Connection, budget_id: str) -> Budget | None:
    """One budget; None when there is none."""
    row = await connection.fetchrow(
        "SELECT id, owner_user_id, scope, scope_id, counter_scope, period, zone, mode, limit_usd, thresholds,"
        " created_at, updated_at FROM budgets WHERE id = $1",
        budget_id,
    )
    return _budget(row) if row else None


async def put(connection: Connection, budget: Budget) -> Budget:
    """Write a budget; one of the same owner, scope and period keeps its id and takes the rest."""
    row = await connection.fetchrow(
        "INSERT INTO budgets AS b (id, owner_user_id, scope, scope_id, counter_scope, period, zone, mode, limit_usd,"
        " thresholds, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        " ON CONFLICT (owner_user_id, counter_scope, period) DO UPDATE SET zone = EXCLUDED.zone, mode = EXCLUDED.mode,"
        " limit_usd = EXCLUDED.limit_usd, thresholds = EXCLUDED.thresholds, updated_at = EXCLUDED.updated_at"
        " RETURNING id, owner_user_id, scope, scope_id, counter_scope, period, zone, mode, limit_usd, thresholds,"
        " created_at, updated_at",
        budget.id,
        budget.target.owner_user_id,
        budget.target.scope,
        budget.target.scope_id,
        budget.target.counter_scope,
        budget.span.kind,
        budget.span.zone,
        budget.mode,
        budget.limit,
        list(budget.thresholds),
        budget.created_at,
        budget.updated_at,
    )
    assert row is not None
    return _budget(row)


async def remove(connection: Connection, budget_id: str) -> None:
    """End a budget, and forget what it was told of."""
    await connection.execute("DELETE FROM reached_thresholds WHERE budget_id = $1", budget_id)
    await connection.execute("DELETE FROM budgets WHERE id = $1", budget_id)


async def count_owned(connection: Connection, user_id: str) -> int:
    """How many budgets a user has set."""
    return int(await connection.fetchval("SELECT count(*) FROM budgets WHERE owner_user_id = $1", user_id))


async def reached_at(connection: Connection, budget_id: str, period: str) -> dict[int, datetime]:
    """When which thresholds of a budget were reached in a period."""
    rows = await connection.fetch(
        "SELECT percent, reached_at FROM reached_thresholds WHERE budget_id = $1 AND period = $2", budget_id, period
    )
    return {row["percent"]: row["reached_at"] for row in rows}


async def claim_thresholds(connection: Connection, reached: Sequence[Reached], at: datetime) -> set[Reached]:
    """Claim thresholds to be told; those that nobody had told before."""
    rows = await connection.fetch(
        "INSERT INTO reached_thresholds (budget_id, period, percent, reached_at)"
        " SELECT budget_id, period, percent, $4 FROM unnest($1::text[], $2::text[], $3::integer[])"
        " AS r (budget_id, period, percent) ORDER BY 1, 2, 3"
        " ON CONFLICT DO NOTHING RETURNING budget_id, period, percent",
        [budget_id for budget_id, _, _ in reached],
        [period for _, period, _ in reached],
        [percent for _, _, percent in reached],
        at,
    )
    return {(row["budget_id"], row["period"], row["percent"]) for row in rows}


def _budget(row: asyncpg.Record) -> Budget:
    return Budget(
        id=row["id"],
        target=Target(row["scope"], row["scope_id"], row["counter_scope"], row["owner_user_id"]),
        span=Span(row["period"], row["zone"]),
        mode=row["mode"],
        limit=row["limit_usd"],
        thresholds=tuple(row["thresholds"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
