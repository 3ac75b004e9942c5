"""Trace context: the id of a well-formed `traceparent`, nothing of a malformed one, and no spans without a collector."""

from __future__ import annotations

import pytest
from common.telemetry.traces import configure_traces, fresh_traceparent, trace_id_of
from hypothesis import given
from hypothesis import strategies as st

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_the_trace_id_is_read_from_a_well_formed_header() -> None:
    assert trace_id_of(f"00-{TRACE}-00f067aa0ba902b7-01") == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        TRACE,
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{TRACE}-00f067aa0ba902b7-01\n",
        f"99-{TRACE}-00f067aa0ba902b7-01",
    ],
)
def test_a_malformed_header_is_no_trace(header: str | None) -> None:
    assert trace_id_of(header) is None


@given(st.none() | st.just(TRACE))
def test_a_header_of_our_own_is_well_formed_and_keeps_the_trace(trace: str | None) -> None:
    made = trace_id_of(fresh_traceparent(trace))
    assert made is not None
    assert trace is None or made == trace


def test_without_a_collector_there_are_no_spans() -> None:
    assert configure_traces("small", None, 1.0) is None
