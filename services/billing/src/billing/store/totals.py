"""SQL for the counters: what each scope has spent in each period, and how much of it settlement counts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import asyncpg
from common.periods import Period
from common.postgres.pool import Connection

from billing.domain.charges import Month
from billing.domain.counters import Counter
from billing.domain.counting import Counted
from billing.store.columns import column

_RECOUNT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Total:
    """A counter as it stands; `version` grows with every change."""

    counter: Counter
    counted: Counted
    version: int


@dataclass(frozen=True, slots=True)
class LargeCall:
    """A call that counts, and how much."""

    request_id: str
    occurred_at: datetime
    amount: Decimal


async def add(connection: Connection, differences: Mapping[Counter, Counted], at: datetime) -> list[Total]:
    """Add differences, in the order of their key; the counters as they then stand."""
    rows = sorted(differences.items())
    found = await connection.fetch(
        "INSERT INTO counters AS c (scope, period, total, settled, version, changed_at)"
        " SELECT d.scope, d.period, d.total::numeric, d.settled::numeric, $6, $5"
        " FROM ROWS FROM (json_array_elements_text($1::text::json), json_array_elements_text($2::text::json),"
        " json_array_elements_text($3::text::json), json_array_elements_text($4::text::json))"
        " AS d (scope, period, total, settled)"
        " ON CONFLICT (scope, period) DO UPDATE SET total = c.total + EXCLUDED.total,"
        " settled = c.settled + EXCLUDED.settled, version = c.version + 1, changed_at = EXCLUDED.changed_at"
        " RETURNING scope, period, total, settled, version",
        column([counter.scope for counter, _ in rows]),
        column([counter.period for counter, _ in rows]),
        column([counted.total for _, counted in rows]),
        column([counted.settled for _, counted in rows]),
        at,
        _first_version(at),
    )
    return [_total(row) for row in found]


async def recount(
    connection: Connection, scope: str, period: Period, month: Month | None, pattern: str, at: datetime
) -> Total:
    """Count a scope's period afresh from every charge that stands, and keep that.

    A charge is in the period that its event names where it names one of this scope and span (`pattern`); else by the UTC
    month it was counted in (`month`, for UTC months), else by when it began.
    """
    row = await connection.fetchrow(
        "WITH matching AS (SELECT CASE"
        " WHEN $1 = 'global' OR $1 IN ('key:' || c.api_key_id, 'user:' || c.user_id, 'team:' || c.team_id) THEN c.counted"
        " ELSE (SELECT sum((a ->> 'cost')::numeric) FROM jsonb_array_elements(c.attempts) AS a"
        "  WHERE $1 IN ('provider:' || (a ->> 'provider_type'),"
        "  'model:' || (a ->> 'provider_type') || '/' || (a ->> 'model'),"
        "  'user:' || c.user_id || '/provider:' || (a ->> 'provider_type'),"
        "  'user:' || c.user_id || '/model:' || (a ->> 'provider_type') || '/' || (a ->> 'model'))) END AS amount,"
        " coalesce((c.settled ->> ($1 || ':' || $2))::numeric, 0) AS settled"
        " FROM charges AS c WHERE ($9::text IS NULL OR c.api_key_id = $9) AND ($10::text IS NULL OR c.user_id = $10)"
        " AND ((c.settled ? ($1 || ':' || $2)) OR ("
        " ($3::int IS NULL OR (c.year = $3 AND c.month = $4::int))"
        " AND ($3 IS NOT NULL OR (($5::timestamptz IS NULL OR c.occurred_at >= $5)"
        "  AND ($6::timestamptz IS NULL OR c.occurred_at < $6)))"
        " AND NOT EXISTS (SELECT FROM jsonb_object_keys(c.settled) AS name WHERE name ~ $7))))"
        " INSERT INTO counters AS known (scope, period, total, settled, version, changed_at)"
        " SELECT $1, $2, coalesce(sum(amount), 0), coalesce(sum(settled) FILTER (WHERE amount IS NOT NULL), 0), $11, $8"
        " FROM matching"
        " ON CONFLICT (scope, period) DO UPDATE SET total = EXCLUDED.total, settled = EXCLUDED.settled,"
        " version = known.version + 1, changed_at = EXCLUDED.changed_at"
        " RETURNING scope, period, total, settled, version",
        scope,
        period.name,
        month.year if month else None,
        month.month if month else None,
        period.starts_at,
        period.ends_at,
        pattern,
        at,
        *_indexed(scope),
        _first_version(at),
        timeout=_RECOUNT_SECONDS,
    )
    assert row is not None
    return _total(row)


async def standing(connection: Connection, counters: list[Counter]) -> dict[Counter, Counted]:
    """These counters as they stand; those that nothing was counted in are left out."""
    rows = await connection.fetch(
        "SELECT c.scope, c.period, c.total, c.settled, c.version FROM counters AS c"
        " JOIN unnest($1::text[], $2::text[]) AS w (scope, period) USING (scope, period)",
        [counter.scope for counter in counters],
        [counter.period for counter in counters],
    )
    return {total.counter: total.counted for total in map(_total, rows)}


async def largest(connection: Connection, scope: str, period: Period, limit: int) -> list[LargeCall]:
    """The dearest calls of a scope that began in a period; what they cost as a whole, whichever attempt counts."""
    rows = await connection.fetch(
        "SELECT c.request_id, c.occurred_at, c.counted FROM charges AS c"
        " WHERE ($2::timestamptz IS NULL OR c.occurred_at >= $2) AND ($3::timestamptz IS NULL OR c.occurred_at < $3)"
        " AND ($4::text IS NULL OR c.api_key_id = $4) AND ($5::text IS NULL OR c.user_id = $5) AND c.counted > 0"
        " AND ($1 = 'global' OR $1 IN ('key:' || c.api_key_id, 'user:' || c.user_id, 'team:' || c.team_id)"
        "  OR EXISTS (SELECT FROM jsonb_array_elements(c.attempts) AS a"
        "   WHERE $1 IN ('provider:' || (a ->> 'provider_type'),"
        "   'model:' || (a ->> 'provider_type') || '/' || (a ->> 'model'),"
        "   'user:' || c.user_id || '/provider:' || (a ->> 'provider_type'),"
        "   'user:' || c.user_id || '/model:' || (a ->> 'provider_type') || '/' || (a ->> 'model'))))"
        " ORDER BY c.counted DESC, c.request_id LIMIT $6",
        scope,
        period.starts_at,
        period.ends_at,
        *_indexed(scope),
        limit,
    )
    return [LargeCall(row["request_id"], row["occurred_at"], row["counted"]) for row in rows]


async def page(connection: Connection, periods: Sequence[str], after: Counter, limit: int) -> list[Total]:
    """Counters of these periods, in the order of their key from above `after`."""
    rows = await connection.fetch(
        "SELECT scope, period, total, settled, version FROM counters"
        " WHERE (scope, period) > ($1, $2) AND period = ANY($3::text[]) ORDER BY scope, period LIMIT $4",
        after.scope,
        after.period,
        list(periods),
        limit,
    )
    return [_total(row) for row in rows]


def _indexed(scope: str) -> tuple[str | None, str | None]:
    """The key and the user that all calls of a scope have, where there is one: by these charges are found fast."""
    kind, _, name = scope.partition(":")
    return name if kind == "key" else None, name.partition("/")[0] if kind == "user" else None


def _first_version(at: datetime) -> int:
    """Where the versions of a counter begin: above those of one that was dropped with the books and counted afresh."""
    return int(at.timestamp() * 1000)


def _total(row: asyncpg.Record) -> Total:
    counted = Counted(Decimal(row["total"]), Decimal(row["settled"]))
    return Total(Counter(row["scope"], row["period"]), counted, row["version"])
