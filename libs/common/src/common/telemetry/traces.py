"""Traces: W3C trace context in and out, and spans to an OTLP collector where one is configured.

Without `OTEL_EXPORTER_OTLP_ENDPOINT` no spans are made, and carrying the context costs one comparison.
"""

from __future__ import annotations

import os
import re

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def configure_traces(service: str, endpoint: str | None, ratio: float) -> TracerProvider | None:
    """Send spans of this process to a collector; None when there is none. Shut the provider down at the end."""
    if not endpoint:
        return None
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), sampler=ParentBasedTraceIdRatio(ratio)
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent`, or None when there is none or it is malformed."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match.group(1) if match and match.group(1) != "0" * 32 else None


def fresh_traceparent(trace_id: str | None = None) -> str:
    """A `traceparent` of an unsampled span within the given or a new trace."""
    return f"00-{trace_id or os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
