"""Journeys of tier rules."""

from __future__ import annotations

from collections.abc import Sequence

from common.actors import Actor
from common.contracts.snapshots import AccountTier
from common.contracts.topology import CATALOG_BUCKET
from common.errors import NotFound
from common.postgres.outbox import Message, add, snapshot
from common.providers.registry import PROVIDERS

from catalog_sync.domain.snapshots import tier_key, tier_snapshot
from catalog_sync.domain.tiers import DEFAULTS, TierRule, check_patterns
from catalog_sync.flows.transactions import Transactions, audited
from catalog_sync.store import tiers


class TierFlows(Transactions):
    """Which models the keys of each account tier may call."""

    async def make_default_tiers(self) -> int:
        """Write the rule of each tier that has none; returns how many were written."""
        now = self._clock.now()
        async with self._writing() as connection:
            held = {rule.tier for rule in await tiers.all_tiers(connection)}
            missing = [TierRule(tier, allowed, now) for tier, allowed in DEFAULTS.items() if tier not in held]
            for rule in missing:
                await tiers.put_tier(connection, rule)
            await add(connection, [tier_told(rule) for rule in missing])
        return len(missing)

    async def list_tiers(self) -> list[TierRule]:
        """Every tier's rule, from the least tier to the most."""
        async with self._reading() as connection:
            held = {rule.tier: rule for rule in await tiers.all_tiers(connection)}
        return [held[tier] for tier in DEFAULTS if tier in held]

    async def show_tier(self, tier: str) -> TierRule:
        """One tier's rule; NotFound."""
        for rule in await self.list_tiers():
            if rule.tier == tier:
                return rule
        raise NotFound("no such tier")

    async def change_tier(self, actor: Actor, tier: AccountTier, allowed: Sequence[str]) -> tuple[TierRule, int]:
        """Give a tier another rule. WrongPattern."""
        rule = TierRule(tier, check_patterns(allowed, PROVIDERS), self._clock.now())
        async with self._writing() as connection:
            await tiers.put_tier(connection, rule)
            act = audited(actor, "tier.updated", tier, rule.updated_at, allowed=", ".join(rule.allowed)[:1024])
            return rule, await add(connection, [tier_told(rule), act])


def tier_told(rule: TierRule) -> Message:
    """What the gateways are told of a tier."""
    return snapshot(CATALOG_BUCKET.name, tier_key(rule.tier), tier_snapshot(rule))
