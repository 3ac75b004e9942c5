"""Table `tier_rules`."""

from __future__ import annotations

from common.postgres.pool import Connection

from catalog_sync.domain.tiers import TierRule


async def all_tiers(connection: Connection) -> list[TierRule]:
    """Every tier's rule."""
    rows = await connection.fetch("SELECT tier, allowed, updated_at FROM tier_rules ORDER BY tier")
    return [TierRule(row["tier"], tuple(row["allowed"]), row["updated_at"]) for row in rows]


async def put_tier(connection: Connection, rule: TierRule) -> None:
    """Write a tier's present rule."""
    await connection.execute(
        "INSERT INTO tier_rules (tier, allowed, updated_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (tier) DO UPDATE SET allowed = excluded.allowed, updated_at = excluded.updated_at",
        rule.tier,
        list(rule.allowed),
        rule.updated_at,
    )
