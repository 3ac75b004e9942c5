"""How usage events are read: what is read stands in the contract, means the same, and what cannot be meant is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from billing.domain.charges import month_named
from billing.domain.reading import AttemptRead, CallRead, EventRead, PriceRead, Reader, UsageRead
from common.contracts.envelope import Envelope
from common.contracts.usage import AttemptRecord, PriceUsed, UsageCounts, UsageRecorded
from common.testing.events import of_a_later_release
from common.usage import TOKEN_BUCKETS

MakeEvent = Callable[..., Any]
EXAMPLES = sorted((Path(__file__).parents[3] / "libs/common/contracts/usage.recorded.v1").glob("example-*.json"))
EVENT = Envelope[UsageRecorded]


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (EventRead, EVENT),
        (CallRead, UsageRecorded),
        (AttemptRead, AttemptRecord),
        (PriceRead, PriceUsed),
        (UsageRead, UsageCounts),
    ],
)
def test_what_is_read_stands_in_the_contract_and_is_asked_for_only_where_it_is_always_told(
    read: Any, told: Any
) -> None:
    optional = set(read.__struct_fields__[len(read.__struct_fields__) - len(read.__struct_defaults__) :])
    for name in read.__struct_fields__:
        assert name in told.model_fields
        assert name in optional or told.model_fields[name].is_required()


def test_every_bucket_is_read() -> None:
    assert tuple(name for name in UsageRead.__struct_fields__ if name != "units") == TOKEN_BUCKETS


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_of_the_contract_means_what_its_model_says(path: Path) -> None:
    body = path.read_bytes()
    charge, event = Reader().charge(body), EVENT.model_validate_json(body)
    call, used = event.data, event.data.usage.to_usage()
    assert (str(charge.event_id), charge.request_id, charge.state) == (event.id, call.request_id, call.kind)
    assert (charge.input_tokens, charge.output_tokens) == (used.prompt_tokens, used.completion_tokens)
    assert charge.cost == (call.cost_usd.usd if call.billable else 0)
    assert charge.operator_cost == (call.operator_cost_usd.usd if call.billable else 0)
    if charge.attempts:
        assert sum(attempt.cost for attempt in charge.attempts) == call.cost_usd.usd
        assert sum(attempt.operator_cost for attempt in charge.attempts) == call.operator_cost_usd.usd
        last = call.attempts[-1].usage if call.attempts else call.usage
        told = {name: getattr(last, name) for name in TOKEN_BUCKETS if getattr(last, name)} if last else {}
        assert charge.attempts[-1].usage == told | (last.units if last else {})


def test_tokens_are_counted_over_all_buckets(usage_event: MakeEvent) -> None:
    body = usage_event("r").model_dump(mode="json")
    body["data"]["usage"] |= dict(zip(TOKEN_BUCKETS, [1, 2, 4, 8, 16, 32, 64, 128], strict=True))
    counted = Reader().charge(json.dumps(body).encode())
    assert (counted.input_tokens, counted.output_tokens) == (1 + 2 + 4 + 8 + 64, 16 + 32 + 128)


def test_members_that_a_newer_gateway_adds_are_passed_over(usage_event: MakeEvent) -> None:
    event = usage_event("r", cost="0.25")
    assert Reader().charge(of_a_later_release(event)) == Reader().charge(event.model_dump_json().encode())


@pytest.mark.parametrize("period", ["2026-13", "2026-1", "202611", "total", "2026-11-01", ""])
def test_a_period_that_is_no_month_is_refused(period: str) -> None:
    with pytest.raises(ValueError, match="period"):
        month_named(period)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cost_usd": "-1"},
        {"cost_usd": "NaN"},
        {"cost_usd": "1e9"},
        {"cost_usd": "1\n"},
        {"cost_usd": 0.1},
        {"operator_cost_usd": "-1"},
        {"started_at": "2026-11-21T08:30:00"},
        {"started_at": "soon"},
        {"kind": "perhaps"},
        {"billable": "yes"},
        {"request_id": None},
        {"attempts": None},
        {"usage": {"input_tokens": -1}},
        {"period": "someday"},
    ],
)
def test_an_event_that_cannot_be_meant_is_refused(usage_event: MakeEvent, wrong: dict[str, Any]) -> None:
    body = usage_event("r").model_dump(mode="json")
    body["data"] |= wrong
    with pytest.raises(ValueError):
        Reader().charge(json.dumps(body).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"\xff", b"[" * 100_000, b'{"data": "nonsense"}'])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        Reader().charge(body)


def test_an_event_of_another_version_is_refused(usage_event: MakeEvent) -> None:
    event = usage_event("r").model_copy(update={"type": "tollgate.usage.recorded.v2"})
    with pytest.raises(ValueError, match="type"):
        Reader().charge(event.model_dump_json().encode())
