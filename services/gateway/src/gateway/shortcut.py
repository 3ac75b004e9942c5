"""The short way of a stream's ordinary chunk: from the provider's socket to the client's in one turn, with no task woken.

Nearly every chunk brings further text and nothing else. Waking the call's task for each costs more than all that is done
with it; and the task has nothing to decide. Whatever is not such a chunk, or finds its client not keeping up, goes the long
way, behind all that was sent before it.
"""

from __future__ import annotations

from gateway.api.client import Client
from gateway.providers.wire import StreamDecoder
from gateway.upstream.client import Shortcut


def shortcut(decoder: StreamDecoder, client: Client) -> Shortcut | None:
    """The short way between a stream and its client; None where there is none."""
    read, exchange = decoder.read_plain, client.direct()
    if read is None or exchange is None:
        return None

    def take(piece: bytes) -> bool:
        if not exchange.has_room():
            return False
        events = read(piece)
        if not events:
            return False
        exchange.write(events)
        return True

    return take
