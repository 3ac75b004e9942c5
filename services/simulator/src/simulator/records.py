"""What the simulator remembers of the calls it got: the record of each, the last ten thousand, totals per model.

Tests compare these with what was metered and billed. No key, no prompt, no answer is ever part of a record.
"""

from __future__ import annotations

from collections import deque
from datetime import date, datetime
from typing import Literal

import msgspec

KEPT_CALLS = 10_000
MOST_TOTALS = 1_000
OTHER = "other"


class CallRecord(msgspec.Struct, kw_only=True):
    """One call of a provider. Token counts are what was used so far: of a stream that ended early, what was sent."""

    call_id: str
    """Also the answer's x-request-id."""
    at: datetime
    """When the call came, RFC 3339."""
    provider: str
    model: str = ""
    """The model asked for; "" when the call never got so far."""
    client_request_id: str | None = None
    streamed: bool = False
    status: int = 200
    """HTTP status of the answer; 0 when the connection ended before there was one."""
    phase: Literal["started", "ended"] = "started"
    complete: bool = False
    """Whether a whole, well-formed answer was written to its end."""
    sent_chunks: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    reported_usage: bool = False
    """Whether the caller was sent the usage."""
    disconnected: bool = False
    """Whether the caller hung up first."""


class Total(msgspec.Struct, kw_only=True):
    """Sums over the ended calls of one provider and model."""

    provider: str
    model: str
    calls: int = 0
    complete: int = 0
    failed: int = 0
    """Answered with a status of 400 or more."""
    disconnected: int = 0
    sent_chunks: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class CallRecords:
    """Recent calls and totals, in memory and bounded."""

    def __init__(self) -> None:
        self._recent: deque[CallRecord] = deque(maxlen=KEPT_CALLS)
        self._totals: dict[tuple[str, str], Total] = {}
        self._days: dict[tuple[date, str, str], Total] = {}
        self._started = 0

    def started(self, record: CallRecord) -> None:
        """Takes note of a call that has begun; its record goes on changing until it ends."""
        self._started += 1
        self._recent.append(record)

    def ended(self, record: CallRecord) -> None:
        """Adds an ended call to the totals, and to those of the UTC day that it came on."""
        _add(self._total(record.provider, record.model), record)
        place = (record.at.date(), record.provider, record.model)
        if place in self._days or len(self._days) < MOST_TOTALS:
            _add(self._days.setdefault(place, Total(provider=record.provider, model=record.model)), record)

    def recent(self, client_request_id: str | None) -> list[CallRecord]:
        """The calls still remembered, oldest first; only those with that client request id when one is given."""
        if client_request_id is None:
            return list(self._recent)
        return [record for record in self._recent if record.client_request_id == client_request_id]

    @property
    def started_calls(self) -> int:
        """How many calls have begun since the start, or since `clear`."""
        return self._started

    def totals(self) -> list[Total]:
        """Totals per provider and model, in the order of their first call."""
        return list(self._totals.values())

    def of_day(self, day: date, provider: str) -> list[Total]:
        """A provider's totals per model over the calls that came on a UTC day."""
        return [total for (when, name, _), total in self._days.items() if (when, name) == (day, provider)]

    def clear(self) -> None:
        """Forgets calls and totals (the journal's file keeps them)."""
        self._recent.clear()
        self._totals.clear()
        self._days.clear()
        self._started = 0

    def _total(self, provider: str, model: str) -> Total:
        found = self._totals.get((provider, model))
        if found is not None:
            return found
        # Names of models come from callers: past the bound they share one total.
        key = (provider, model) if len(self._totals) < MOST_TOTALS else (OTHER, OTHER)
        return self._totals.setdefault(key, Total(provider=key[0], model=key[1]))


def _add(total: Total, record: CallRecord) -> None:
    total.calls += 1
    total.complete += record.complete
    total.failed += record.status >= 400
    total.disconnected += record.disconnected
    total.sent_chunks += record.sent_chunks
    total.prompt_tokens += record.prompt_tokens
    total.completion_tokens += record.completion_tokens
    total.cached_tokens += record.cached_tokens
    total.reasoning_tokens += record.reasoning_tokens
