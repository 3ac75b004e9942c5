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
    """A frozen, closed shape: who tells an event says what stands here and nothing else. Who hears one may be of an older
    release than who told it, and reads it with `read_event`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Envelope(Contract, Generic[Content]):
    """One event: what (`type`), which (`id`), from whom (`source`), when (`time`), and its `data`."""

    specversion: Literal["1.0"] = "1.0"
    """The version of CloudEvents."""
    id: str
    """Which event this is; the same however often it is told."""
    source: str
    """Which service tells it."""
    type: str
    """What happened, and which version of its contract this is."""
    subject: str | None = None
    """What it happened to."""
    time: datetime
    """When it happened, in UTC."""
    datacontenttype: Literal["application/json"] = "application/json"
    """The format of `data`."""
    dataschema: str | None = None
    """Where the schema of `data` is."""
    traceparent: str | None = None
    """The W3C trace context that it happened in."""
    data: Content
    """What there is to say of it."""


def read_event(kind: type[Envelope[Content]], body: bytes) -> Envelope[Content]:
    """An event as whoever hears it takes it: members that a later release has added, at any depth, are passed over.
    ValueError for what else breaks the contract."""
    return kind.model_validate_json(body, extra="ignore")


def event_headers(event_id: str, traceparent: str | None = None) -> dict[str, str]:
    """The NATS headers that go with an event."""
    headers = {MESSAGE_ID_HEADER: event_id, "Content-Type": CONTENT_TYPE}
    if traceparent:
        headers["traceparent"] = traceparent
    return headers


def type_of(event: str, version: int = 1) -> str:
    """The CloudEvents type of an event: `tollgate.usage.recorded.v1`."""
    return f"tollgate.{event}.v{version}"
