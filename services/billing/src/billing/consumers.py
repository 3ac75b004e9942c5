"""What billing hears: usage events in batches, and the names of keys from their bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from common.bus.consume import Handle, Received
from common.contracts.snapshots import KeySnapshot
from common.outages import AWAY

from billing.domain.reading import Reader
from billing.flows import Billing

log = structlog.get_logger()

_RETRY_SECONDS = 1.0


def usage_handler(billing: Billing) -> Handle:
    """Books batches of `usage.recorded`; ValueError for an event that breaks its contract."""

    async def handle(batch: Sequence[Received]) -> None:
        read = Reader().charge
        await billing.record_usage([(received.sequence, read(received.body)) for received in batch])

    return handle


class KeyNames:
    """Follows the bucket `keys` for the names alone; `apply` is the mirror's, `run` a task that keeps what came in.

    A key that is gone keeps its last name: its past costs are still shown.
    """

    def __init__(self, billing: Billing) -> None:
        self._billing = billing
        self._waiting: dict[str, str] = {}  # bounded by the number of keys
        self._came = asyncio.Event()

    def apply(self, key: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        if body is not None and "." not in key:  # `user.<id>` and `team.<id>` are no keys
            self._waiting[key] = KeySnapshot.model_validate_json(body).name
            self._came.set()

    async def run(self) -> None:
        """Keep names until cancelled; an outage of the database is waited out."""
        while True:
            await self._came.wait()
            self._came.clear()
            names = dict(self._waiting)
            try:
                await self._billing.remember_key_names(names)
            except AWAY as error:
                log.warning("key_names_wait", error=type(error).__name__)
                self._came.set()
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for key, name in names.items():
                if self._waiting.get(key) == name:
                    del self._waiting[key]
