"""`GET /api/v1/providers/health`: how the deployments fare that this gateway calls, for admins."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.api.client import Client
from gateway.edge import Edge
from gateway.routing.health import Health, Standing

PATH = "/api/v1/providers/health"


async def show_health(client: Client, edge: Edge, health: Health) -> None:
    """Answer with every deployment that was called lately."""
    admin = edge.is_admin(client)
    if admin is None:
        await client.answer(401, b'{"detail":"not signed in"}')
    elif not admin:
        await client.answer(403, b'{"detail":"admin access required"}')
    else:
        now = health.monotonic()
        items = [_shown(standing, now) for standing in health.all()]
        await client.answer(200, msgspec.json.encode({"items": items, "next_cursor": None}))


def _shown(standing: Standing, now: float) -> dict[str, Any]:
    deployment, rests_for = standing.deployment, max(0.0, standing.rests_until - now)
    state = "resting" if rests_for else "failing" if standing.failures_in_a_row else "healthy"
    return {
        "provider_id": deployment.provider_id,
        "provider_type": deployment.provider.type,
        "model": deployment.model_name,
        "credential_id": deployment.credential.id or None,
        "simulated": deployment.is_simulated,
        "state": state,
        "reason": standing.reason if rests_for else None,
        "rests_for_ms": int(rests_for * 1000),
        "calls": standing.calls,
        "failures": standing.failures,
        "consecutive_failures": standing.failures_in_a_row,
        "latency_ms": None if standing.latency_ms is None else round(standing.latency_ms, 1),
    }
