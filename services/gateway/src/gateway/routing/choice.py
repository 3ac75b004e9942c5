"""In which order a call tries the deployments of its plan: by priority, and within one by the alias's strategy.

Deployments that rest come last, in the same order. Plans with a caller's own credential keep their order: whose credential
is used first is the caller's choice, not a matter of load.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType

from gateway.routing.health import Health
from gateway.routing.plan import Deployment, Plan

Rank = Callable[[Deployment], float]
"""The lower, the earlier."""


def ordered(plan: Plan, health: Health, at: datetime, sticky: bytes | None, draw: Callable[[], float]) -> Plan:
    """The plan with its deployments as this call should try them. `sticky`: what its conversation is known by; `draw`: a
    number from 0 up to 1."""
    deployments = plan.deployments
    if len(deployments) < 2 or any(one.credential.is_own for one in deployments):
        return plan
    strategy = _STRATEGIES.get(plan.strategy)
    if strategy is not None:
        rank = strategy(health, at, sticky, draw)
        deployments = tuple(sorted(deployments, key=lambda one: (one.priority, rank(one))))
    if any(map(health.rests, deployments)):
        deployments = tuple(sorted(deployments, key=health.rests))
    return plan if deployments == plan.deployments else plan.with_order(deployments)


def _weighted(_health: Health, _at: datetime, _sticky: bytes | None, draw: Callable[[], float]) -> Rank:
    """Each is first as often as its weight says: the order of exponential waiting times."""
    return lambda one: _waiting(draw(), one.weight)


def _sticky(health: Health, at: datetime, sticky: bytes | None, draw: Callable[[], float]) -> Rank:
    """The same key leads to the same deployment as long as it is there, and keys are shared out by weight, so that
    providers' caches stay warm. A call without one is shared out like any."""
    if sticky is None:
        return _weighted(health, at, None, draw)
    return lambda one: _waiting(_fraction(sticky, one), one.weight)


def _fastest(health: Health, _at: datetime, _sticky: bytes | None, _draw: Callable[[], float]) -> Rank:
    """Whoever begins to answer soonest; one that nothing is known of is tried first, so that something is."""
    return lambda one: health.latency_ms(one) or 0.0


def _cheapest(_health: Health, at: datetime, _sticky: bytes | None, _draw: Callable[[], float]) -> Rank:
    """By what a token of input and one of output cost together."""
    return lambda one: float(
        sum(one.model.price_at(at).rates.get(name, 0) for name in ("input_tokens", "output_tokens"))
    )


_STRATEGIES: Mapping[str, Callable[[Health, datetime, bytes | None, Callable[[], float]], Rank]] = MappingProxyType(
    {"weighted": _weighted, "sticky": _sticky, "lowest_latency": _fastest, "lowest_cost": _cheapest}
)
"""Strategies beside `priority`, which is the plan's own order."""


def _waiting(fraction: float, weight: int) -> float:
    return -math.log(1.0 - fraction) / weight if weight else math.inf


def _fraction(key: bytes, deployment: Deployment) -> float:
    digest = blake2b(key + b"\0" + "\0".join(deployment.identity).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
