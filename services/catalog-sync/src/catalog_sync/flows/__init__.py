"""What this service can do: a public method is one journey, in one transaction.

Every id and timestamp is made here. Each subject has a file; `CatalogSync` is all of them together.
"""

from __future__ import annotations

from catalog_sync.flows.aliases import AliasFlows
from catalog_sync.flows.models import ModelFlows
from catalog_sync.flows.prices import PriceFlows
from catalog_sync.flows.providers import ProviderFlows
from catalog_sync.flows.quarantine import QuarantineFlows
from catalog_sync.flows.syncs import SyncFlows
from catalog_sync.flows.tiers import TierFlows


class CatalogSync(ProviderFlows, AliasFlows, ModelFlows, PriceFlows, QuarantineFlows, TierFlows, SyncFlows):
    """Providers, models with their dated prices, aliases, tier rules, and the syncs that keep them true.

    A write returns, beside its result, the id of its last outbox row, for whoever waits until its effect is told.
    """
