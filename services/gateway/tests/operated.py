"""What tests of operations beside chat share: models that do them, at simulated providers, with prices by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from common.contracts.snapshots import CredentialSnapshot, ModelSnapshot, PriceSnapshot, ProviderSnapshot
from common.providers.registry import NEEDS_NO_KEY, PROVIDERS
from gateway_stack import Stack


async def add_model(stack: Stack, provider: str, name: str, rates: Mapping[str, str] | None, **changes: Any) -> str:
    """Make a model of a provider callable at these rates (None: it has no price); its qualified name."""
    place = ProviderSnapshot(id=provider, name=provider, provider_type=provider, display_name=provider.title())
    secret = CredentialSnapshot(id=f"cred-{provider}", provider_type=provider, version=1, on_simulator=True)
    price = PriceSnapshot(
        version=f"price-{name}",
        starts_at=datetime(1970, 1, 1, tzinfo=UTC),
        rates={unit: Decimal(rate) for unit, rate in (rates or {}).items()},
    )
    model = ModelSnapshot(
        id=f"{provider}-{name}",
        provider_type=provider,
        name=name,
        prices=() if rates is None else (price,),
        **changes,
    )
    await stack.put("catalog", f"provider.{provider}", place)
    await stack.put("catalog", f"model.{provider}-{name.replace(':', '-')}", model)
    await stack.put("credentials", secret.id, secret)
    await stack.is_callable(f"{provider}/{name}")
    if provider == "custom" or NEEDS_NO_KEY in PROVIDERS[provider].flags:  # it was callable before, elsewhere
        await _is_simulated(stack, f"{provider}/{name}")
    return f"{provider}/{name}"


async def _is_simulated(stack: Stack, model: str) -> None:
    """Wait until the gateway has heard that the simulator plays a provider."""
    for _ in range(40):
        if "x-tollgate-simulated" in (await stack.chat(model=model)).headers:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the simulator does not play {model}")
