"""What JetStream says of billing's own consumer."""

from __future__ import annotations

from common.contracts.topology import consumer_of
from nats.js import JetStreamContext

from billing.domain.audit import Backlog

_SECONDS = 2.0


async def backlog(jetstream: JetStreamContext) -> Backlog:
    """How far the consumer is behind; raises nats.errors.Error or TimeoutError when the server cannot say."""
    row = consumer_of("billing")
    found = await jetstream.consumer_info(row.stream, row.service, timeout=_SECONDS)
    return Backlog(pending=found.num_pending or 0, unacknowledged=found.num_ack_pending or 0)
