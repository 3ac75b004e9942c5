"""The request log: which of a request's events is kept, and which calls are asked for.

A request is told of at most twice: `estimated` by whoever found it abandoned, `final` by its own gateway, in any order
and any number of times. One row is kept of it: the final's where there is one, else the estimate's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from common.contracts.envelope import Envelope
from common.contracts.usage import USAGE_RECORDED, UsageRecorded


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call as its event told it; `recorded_at` is when it came into the log (None before that)."""

    event_id: UUID
    started_at: datetime
    call: UsageRecorded
    recorded_at: datetime | None = None

    @property
    def request_id(self) -> str:
        """The request that this is the call of."""
        return self.call.request_id

    @property
    def is_final(self) -> bool:
        """Whether the call's own gateway told it."""
        return self.call.kind == "final"


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which calls are asked for; None asks for all. `visible_to` limits to one user's own.

    `model` is the model that answered, or the name that was asked for; `text` is looked for in ids, names and errors;
    times are from (inclusive) to (exclusive).
    """

    visible_to: str | None = None
    api_key_id: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    provider: str | None = None
    model: str | None = None
    status: str | None = None
    source: str | None = None
    tag: str | None = None
    tag_value: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    text: str | None = None


Position = tuple[datetime, str]
"""Where a page of calls ended: when the last one started, and its request."""


def logged_call(event: Envelope[UsageRecorded]) -> LoggedCall:
    """The call that an event tells of; ValueError when it cannot be meant."""
    if event.type != USAGE_RECORDED:
        raise ValueError("not an event of the type that analytics knows")
    return LoggedCall(UUID(event.id), _instant(event.data.started_at), event.data)


def last_words(calls: Iterable[LoggedCall]) -> dict[str, LoggedCall]:
    """Of each request the call that counts: its final, else its estimate; of two alike the first."""
    kept: dict[str, LoggedCall] = {}
    for call in calls:
        before = kept.get(call.request_id)
        if before is None or (call.is_final and not before.is_final):
            kept[call.request_id] = call
    return kept


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("started_at names no time zone")
    return at.astimezone(UTC)
