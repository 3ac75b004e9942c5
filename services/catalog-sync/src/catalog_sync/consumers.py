"""What this service hears: usage events, for the names of models that were called and have no price."""

from __future__ import annotations

from collections.abc import Sequence

from common.bus.consume import Handle, Received
from common.contracts.envelope import Envelope
from common.contracts.usage import UsageRecorded

from catalog_sync.domain.syncs import Sighting
from catalog_sync.flows import CatalogSync

_LONGEST_NAME = 256


def usage_handler(catalog: CatalogSync) -> Handle:
    """Handles batches of `usage.recorded`; ValueError for an event that breaks its contract."""

    async def handle(batch: Sequence[Received]) -> None:
        events = [Envelope[UsageRecorded].model_validate_json(received.body) for received in batch]
        await catalog.note_sightings(
            [
                Sighting(event.data.provider_type, event.data.model[:_LONGEST_NAME], event.time)
                for event in events
                if event.data.price.is_fallback
            ]
        )

    return handle
