"""What of a plan a tier's keys may use. Pure.

A rule is about what the operator pays for: a deployment that is called with the caller's own credential is not restricted.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.mirrors.tiers import Tiers
from gateway.routing.plan import Plan


def within(plan: Plan, tiers: Tiers, tier: str | None) -> Plan | None:
    """The plan with those deployments only that a tier's keys may call; None when it has some and none of them is left."""
    if not tiers.restricts(tier):
        return plan
    allowed = tuple(
        one
        for one in plan.deployments
        if one.credential.is_own or tiers.allows(tier, one.provider.type, one.model.name)
    )
    if len(allowed) == len(plan.deployments):
        return plan
    return replace(plan, deployments=allowed) if allowed else None
