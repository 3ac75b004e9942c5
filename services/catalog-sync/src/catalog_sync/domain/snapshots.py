"""What the gateways are told of each thing: its present state, for the bucket `catalog`.

The same state always gives the same bytes, however it was come by, so that comparing a bucket with the table is
comparing bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from common.contracts.snapshots import (
    AccountTierSnapshot,
    AliasSnapshot,
    DeploymentSnapshot,
    ModelSnapshot,
    PriceSnapshot,
    ProviderSnapshot,
    TierSnapshot,
    TimeoutsSnapshot,
)
from common.pricing import Price, Rates

from catalog_sync.domain.aliases import Alias
from catalog_sync.domain.models import PricedModel
from catalog_sync.domain.prices import effective
from catalog_sync.domain.providers import Provider
from catalog_sync.domain.tiers import TierRule


def model_key(model_id: str) -> str:
    """The bucket's key of a model."""
    return f"model.{model_id}"


def provider_key(provider_id: str) -> str:
    """The bucket's key of a provider instance."""
    return f"provider.{provider_id}"


def alias_key(alias_id: str) -> str:
    """The bucket's key of an alias."""
    return f"alias.{alias_id}"


def tier_key(tier: str) -> str:
    """The bucket's key of an account tier."""
    return f"tier.{tier}"


def tier_snapshot(rule: TierRule) -> AccountTierSnapshot:
    """An account tier's rule."""
    return AccountTierSnapshot(tier=rule.tier, allowed=rule.allowed)


def model_snapshot(priced: PricedModel) -> ModelSnapshot:
    """A model with every price that holds at some time; one row a start."""
    model, facts = priced.model, priced.model.facts
    return ModelSnapshot(
        id=model.id,
        provider_type=facts.provider_type,
        name=facts.name,
        display_name=facts.display_name,
        names=facts.names,
        enabled=model.enabled,
        context_length=facts.context_length,
        max_output_tokens=facts.max_output_tokens,
        capabilities=facts.capabilities,
        prices=tuple(_price_snapshot(price) for price in effective(priced.prices)),
        created_at=model.created_at,
    )


def provider_snapshot(provider: Provider) -> ProviderSnapshot:
    """A provider instance."""
    return ProviderSnapshot(
        id=provider.id,
        name=provider.name,
        provider_type=provider.provider_type,
        display_name=provider.display_name,
        base_url=provider.base_url,
        headers={name: provider.headers[name] for name in sorted(provider.headers)},
        enabled=provider.enabled,
        priority=provider.priority,
    )


def alias_snapshot(alias: Alias) -> AliasSnapshot:
    """An alias."""
    return AliasSnapshot(
        id=alias.id,
        alias=alias.alias,
        deployments=tuple(
            DeploymentSnapshot(provider=one.provider, model=one.model, weight=one.weight, priority=one.priority)
            for one in alias.deployments
        ),
        strategy=alias.strategy,
        enabled=alias.enabled,
        timeouts=TimeoutsSnapshot(**alias.timeouts),
    )


def _price_snapshot(price: Price) -> PriceSnapshot:
    return PriceSnapshot(
        version=price.version,
        starts_at=price.starts_at,
        rates=dict(price.rates),
        tiers=tuple(
            TierSnapshot(
                above_input_tokens=tier.above_input_tokens,
                rates=dict(tier.rates),
                variants=_plain(tier.variants),
            )
            for tier in price.tiers
        ),
        variants=_plain(price.variants),
    )


def _plain(variants: Mapping[str, Rates]) -> dict[str, dict[str, Decimal]]:
    return {name: dict(rates) for name, rates in variants.items()}
