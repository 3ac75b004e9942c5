"""Streams of operations of the `openai` wire: events that say of themselves what they are, relayed as they come.

Each is told under its name; the one that ends the stream has the usage. That it waits for the call's own event is the
voice's to see to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.counting import estimate_tokens
from gateway.providers.errors import ProviderFailed
from gateway.providers.framing import EventSplitter, EventTooLarge
from gateway.providers.wire import Identity
from gateway.providers.wires.openai.failures import NO_ERRORS, NULL, decode_error
from gateway.providers.wires.openai.usage import report_in

MOST_EVENT_BYTES = 16 << 20
"""A picture is one event, and larger than any other."""
_DONE = b"[DONE]"


class _Event(msgspec.Struct):
    type: str = ""
    delta: str = ""
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


_read = msgspec.json.Decoder(_Event).decode


class EventsDecoder:
    """Reads one stream whose last event is of type `last`; `counted` reads its usage."""

    finish_reason: str | None = None
    identity: Identity = (None, None, None)
    read_plain = None

    def __init__(self, provider: ProviderRow, last: str, counted: Callable[[Mapping[str, Any]], Usage | None]) -> None:
        self._provider = provider
        self._last = last
        self._counted = counted
        self._events = EventSplitter(MOST_EVENT_BYTES)
        self._said_bytes = self._pieces = 0
        self.is_done = False
        self.failure: ProviderFailed | None = None
        self.raw_usage: dict[str, Any] | None = None
        self.service_tier: str | None = None

    def feed(self, piece: bytes) -> bytes:
        """Events for the client. Where the stream breaks or holds an error, those before it; `failure` then says so."""
        return self._taken(lambda: self._events.feed(piece))

    def finish(self) -> bytes:
        """The last events; `failure` is set when the stream ended before the answer did."""
        last = self._taken(self._events.finish)
        if self.failure is None and not self.is_done:
            self.failure = self._broken("ended the stream before the answer was whole")
        return last

    def delivered_tokens(self) -> int:
        """Output tokens seen so far, estimated."""
        return estimate_tokens(self._said_bytes, self._pieces)

    def usage(self) -> Usage | None:
        """What the provider reported."""
        return self._counted(self.raw_usage) if self.raw_usage is not None else None

    def _taken(self, split: Callable[[], list[tuple[bytes, bytes]]]) -> bytes:
        taken: list[bytes] = []
        try:
            taken.extend(self._event(data) for _, data in split())
        except ProviderFailed as failure:
            self.failure = failure
        except EventTooLarge:
            self.failure = self._broken("sent an event without end")
        except (ValueError, RecursionError):
            self.failure = self._broken("sent an event that cannot be read")
        return b"".join(taken)

    def _event(self, data: bytes) -> bytes:
        if self.is_done or data.strip() == _DONE:
            return b""
        told = _read(data)
        if bytes(told.error) not in NO_ERRORS:
            raise decode_error(502, data, self._provider, None)
        self._pieces += bool(told.delta)
        self._said_bytes += len(told.delta.encode())
        if told.type == self._last:
            self.is_done, self.raw_usage = True, report_in(told.usage)
        lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
        return b"event: " + told.type.encode() + b"\n" + lines + b"\n" if told.type.isprintable() else lines + b"\n"

    def _broken(self, how: str) -> ProviderFailed:
        return ProviderFailed("broken", f"{self._provider.display_name} {how}")
