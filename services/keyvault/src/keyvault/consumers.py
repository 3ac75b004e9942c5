"""Usage events: from them keyvault learns when keys and credentials were last used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.bus.consume import Handle, Received
from common.contracts.envelope import Envelope
from common.contracts.usage import UsageRecorded

from keyvault.flows import Keyvault


def usage_handler(keyvault: Keyvault) -> Handle:
    """The handler of `usage.recorded`."""

    async def handle(batch: Sequence[Received]) -> None:
        key_uses: dict[str, datetime] = {}
        credential_uses: dict[str, datetime] = {}
        for received in batch:
            event = Envelope[UsageRecorded].model_validate_json(received.body)
            _keep_latest(key_uses, event.data.api_key_id, event.time)
            _keep_latest(credential_uses, event.data.credential_id, event.time)
        await keyvault.uses.note(key_uses, credential_uses)

    return handle


def _keep_latest(uses: dict[str, datetime], name: str | None, at: datetime) -> None:
    if name is not None and (name not in uses or uses[name] < at):
        uses[name] = at
