"""Every consumer of usage digests every golden example, and refuses what breaks the contract as a wrong value.

A wrong value goes to the DLQ and is never tried again; any other error would be tried for ever.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import analytics.consumers
import billing.consumers
import catalog_sync.consumers
import keyvault.consumers
import pytest
from common.bus.consume import Handle, Received
from common.contracts.envelope import Envelope
from common.contracts.topology import CONSUMERS
from common.contracts.usage import UsageRecorded
from common.testing.events import of_a_later_release

from .golden import examples

EXAMPLES = dict(examples("usage.recorded.v1"))


@dataclass
class Heard:
    """Stands in for a service's journeys: keeps what its consumer makes of events."""

    batches: list[Any] = field(default_factory=list)

    @property
    def uses(self) -> Heard:
        """keyvault's journeys about uses."""
        return self

    async def record_usage(self, calls: Sequence[Any]) -> None:
        """billing's and analytics' journey."""
        self.batches.append(calls)

    async def record_corrections(self, corrections: Sequence[Any]) -> None:
        """analytics' other journey."""
        self.batches.append(corrections)

    async def note_sightings(self, sightings: Sequence[Any]) -> None:
        """catalog-sync's journey."""
        self.batches.append(sightings)

    async def note(
        self, keys: Mapping[str, datetime], credentials: Mapping[str, datetime], verdicts: Mapping[str, Any]
    ) -> None:
        """keyvault's journey."""
        self.batches.append((keys, credentials))


HANDLERS = {
    "billing": billing.consumers.usage_handler,
    "analytics": analytics.consumers.usage_handler,
    "keyvault": keyvault.consumers.usage_handler,
    "catalog-sync": catalog_sync.consumers.usage_handler,
}


def handler(service: str, heard: Heard) -> Handle:
    """A service's consumer on top of what only keeps."""
    return cast(Any, HANDLERS[service])(heard)  # type: ignore[no-any-return]


def received(*bodies: bytes) -> list[Received]:
    """Events as they are delivered."""
    return [Received("usage.recorded.openai.k", body, f"e{number}", number) for number, body in enumerate(bodies)]


def test_every_consumer_of_the_table_is_here() -> None:
    assert set(HANDLERS) == {row.service for row in CONSUMERS if row.stream == "USAGE"}


async def test_analytics_digests_what_a_rerating_tells_and_refuses_what_breaks_the_contract() -> None:
    heard, [example] = Heard(), dict(examples("billing.rerated.v1")).values()
    handle = analytics.consumers.rerated_handler(cast(Any, heard))
    await handle(received(example))
    [corrections] = heard.batches
    assert [(one.cost, one.operator_cost) for one in corrections] == [
        (Decimal("-0.0125"), 0),
        (0, Decimal("0.000301")),
    ]
    for body in (b"", b"{}", EXAMPLES["completed"], example.replace(b'"-0.0125"', b"-0.0125")):
        with pytest.raises(ValueError):
            await handle(received(body))


@pytest.mark.parametrize("service", HANDLERS)
@pytest.mark.parametrize("example", EXAMPLES)
async def test_a_consumer_digests_every_example(service: str, example: str) -> None:
    heard = Heard()
    await handler(service, heard)(received(EXAMPLES[example]))
    assert len(heard.batches) == 1


@pytest.mark.parametrize("service", HANDLERS)
@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"\xff\xfe", b'{"data": {}}', b"[" * 100_000])
async def test_a_consumer_refuses_what_breaks_the_contract_as_a_wrong_value(service: str, body: bytes) -> None:
    heard = Heard()
    with pytest.raises(ValueError):
        await handler(service, heard)(received(EXAMPLES["completed"], body))
    assert heard.batches == []


@pytest.mark.parametrize("service", HANDLERS)
@pytest.mark.parametrize(("member", "value"), [("cost_usd", 0.1), ("cost_usd", "1e3"), ("kind", "guessed")])
async def test_a_consumer_refuses_a_member_that_is_wrong(service: str, member: str, value: Any) -> None:
    event = json.loads(EXAMPLES["completed"])
    event["data"][member] = value
    with pytest.raises(ValueError):
        await handler(service, Heard())(received(json.dumps(event).encode()))


@pytest.mark.parametrize("service", HANDLERS)
@pytest.mark.parametrize("name", EXAMPLES)
async def test_what_a_newer_gateway_says_more_is_passed_over_by_everybody(service: str, name: str) -> None:
    event = Envelope[UsageRecorded].model_validate_json(EXAMPLES[name])
    heard, known = Heard(), Heard()
    await handler(service, heard)(received(of_a_later_release(event)))
    await handler(service, known)(received(EXAMPLES[name]))
    assert heard.batches == known.batches
    assert len(heard.batches) == 1


async def test_billing_books_what_the_caller_owes_and_nothing_of_what_it_does_not() -> None:
    heard = Heard()
    await handler("billing", heard)(received(*EXAMPLES.values()))
    [batch] = heard.batches
    booked = {name: (charge.cost, charge.operator_cost) for name, (_, charge) in zip(EXAMPLES, batch, strict=True)}
    assert booked == {
        "completed": (Decimal("0.00562"), 0),
        "streamed-and-cancelled": (Decimal("0.0001002"), 0),
        "failed-after-two-attempts": (0, Decimal("0.00375")),
        "estimated-by-the-reaper": (Decimal("0.00617"), 0),
        "tracked": (0, 0),
    }


async def test_keyvault_learns_which_keys_and_credentials_were_used_last() -> None:
    heard = Heard()
    await handler("keyvault", heard)(received(*EXAMPLES.values()))
    [(keys, credentials)] = heard.batches
    latest = datetime.fromisoformat("2026-11-21T08:35:02.550Z")
    assert (list(keys.values()), list(credentials.values())) == ([latest], [latest])


async def test_catalog_sync_hears_of_models_without_a_price_only() -> None:
    heard = Heard()
    await handler("catalog-sync", heard)(received(*EXAMPLES.values()))
    [[sighting]] = heard.batches
    assert (sighting.provider_type, sighting.name) == ("custom", "in-house-7b")
