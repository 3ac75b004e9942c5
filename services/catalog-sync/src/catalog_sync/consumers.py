"""What this service hears: usage events, for the names that were called and that nobody serves or that have no price."""

from __future__ import annotations

from collections.abc import Sequence

from common.bus.consume import Handle, Received
from common.contracts.envelope import Envelope, read_event
from common.contracts.usage import UsageRecorded, UsageRejected

from catalog_sync.domain.provider_types import is_known
from catalog_sync.domain.syncs import Sighting
from catalog_sync.flows import CatalogSync

_LONGEST_NAME = 256
_REJECTED = "usage.rejected."


def usage_handler(catalog: CatalogSync) -> Handle:
    """Handles batches of calls and of refusals of unknown models; ValueError for an event that breaks its contract."""

    async def handle(batch: Sequence[Received]) -> None:
        found = [_unknown(one) if one.subject.startswith(_REJECTED) else _unpriced(one) for one in batch]
        await catalog.note_sightings([sighting for sighting in found if sighting is not None])

    return handle


def _unpriced(received: Received) -> Sighting | None:
    """A call that was charged at the fallback."""
    event = read_event(Envelope[UsageRecorded], received.body)
    if not event.data.price.is_fallback:
        return None
    return Sighting(event.data.provider_type, event.data.model[:_LONGEST_NAME], event.time)


def _unknown(received: Received) -> Sighting | None:
    """A call of a name that nobody serves; its provider is known only where the name begins with one."""
    event = read_event(Envelope[UsageRejected], received.body)
    name = event.data.requested_model
    if not name:
        return None
    provider_type, slash, rest = name.partition("/")
    if slash and rest and is_known(provider_type):
        return Sighting(provider_type, rest[:_LONGEST_NAME], event.time)
    return Sighting("", name[:_LONGEST_NAME], event.time)
