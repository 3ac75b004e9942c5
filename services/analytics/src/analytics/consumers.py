"""What analytics hears: usage events, and what re-ratings changed of calls, in batches."""

from __future__ import annotations

import re
from collections.abc import Sequence

from common.bus.consume import Handle, Received
from common.contracts.billing import CallsRerated
from common.contracts.envelope import Envelope, read_event
from common.contracts.usage import UsageRecorded

from analytics.domain.corrections import corrections_of
from analytics.domain.log import LoggedCall, logged_call
from analytics.flows import Analytics

_UsageEvent = Envelope[UsageRecorded]
_RerateEvent = Envelope[CallsRerated]

# Postgres holds no text with a zero byte, and names and errors are other people's text. An escaped backslash before
# `u0000` makes it ordinary text, which is left alone.
_ZERO_BYTE = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def usage_handler(analytics: Analytics) -> Handle:
    """Logs batches of `usage.recorded`; ValueError for an event that breaks its contract."""

    async def handle(batch: Sequence[Received]) -> None:
        await analytics.record_usage([_call(received.body) for received in batch])

    return handle


def rerated_handler(analytics: Analytics) -> Handle:
    """Keeps what `billing.rerated` tells; ValueError for an event that breaks its contract."""

    async def handle(batch: Sequence[Received]) -> None:
        told = [read_event(_RerateEvent, received.body) for received in batch]
        await analytics.record_corrections([one for event in told for one in corrections_of(event)])

    return handle


def _call(body: bytes) -> LoggedCall:
    if b"\\u0000" in body:
        body = _ZERO_BYTE.sub(rb"\1\\ufffd", body)
    return logged_call(read_event(_UsageEvent, body))
