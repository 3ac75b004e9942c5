"""CloudEvents 1.0, structured JSON: the envelope that every event on the bus wears.

`id` is also the `Nats-Msg-Id`, so that JetStream drops a repeated publish; consumers deduplicate by it for
good.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

Content = TypeVar("Content", bound=BaseModel)

CONTENT_TYPE = "application/cloudevents+json"
MESSAGE_ID_HEADER = "Nats-Msg-Id"


class Contract(BaseModel):
    """A frozen, closed shape: what it does not name is refused, so that nobody guesses."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Envelope(Contract, Generic[Content]):
    """One event: what (`type`), which (`id`), from whom (`source`), when (`time`), and its `data`."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str | None = None
    traceparent: str | None = None
    data: Content


def event_headers(event_id: str, traceparent: str | None = None) -> dict[str, str]:
    """The NATS headers that go with an event."""
    headers = {MESSAGE_ID_HEADER: event_id, "Content-Type": CONTENT_TYPE}
    if traceparent:
        headers["traceparent"] = traceparent
    return headers


def type_of(event: str, version: int = 1) -> str:
    """The CloudEvents type of an event: `tollgate.usage.recorded.v1`."""
    return f"tollgate.{event}.v{version}"
