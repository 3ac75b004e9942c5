"""The gateway writes its events by hand, for speed: whatever a call was, they are what the contract says."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

from common.contracts.usage import Source, Status, UsageRecorded
from common.ids import UsageKind, usage_event_id, uuid7
from common.pricing import FALLBACK, Price, Tier
from common.usage import Usage
from gateway.metering import AttemptLog, CallLog, encode_rejected, encode_usage
from hypothesis import given
from hypothesis import strategies as st

from .golden import check

LARGEST_EVENT_BYTES = 64 * 1024

TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
MAYBE = st.none() | TEXT
TOKENS = st.integers(0, 10**7)
AMOUNT = st.builds(lambda units, places: Decimal(f"{units}e-{places}"), st.integers(0, 10**12), st.integers(0, 18))
INSTANTS = st.integers(1_767_225_600_000, 1_893_456_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
USAGES = st.builds(Usage, *[TOKENS] * 8, st.dictionaries(TEXT, TOKENS, max_size=2), st.booleans())
RATES = st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "request"]), AMOUNT)
PRICES = st.just(FALLBACK) | st.builds(Price, TEXT, RATES, st.just((Tier(9, {"input_tokens": Decimal(2)}),)))
DECISION = st.none() | st.just(
    {"bound_usd": "0.1", "budget_usd": None, "spent_before_usd": "3", "rate_limit": 100, "rate_remaining": 99}
)
ATTEMPTS = st.builds(
    AttemptLog,
    number=st.integers(1, 5),
    provider_type=st.sampled_from(["openai", "groq"]),
    provider_id=TEXT,
    model=TEXT,
    credential_id=TEXT,
    price=PRICES,
    held_nano=TOKENS,
    budgets=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    epoch=TEXT,
    status=st.sampled_from(["completed", "failed", "cancelled"]),
    http_status=st.none() | st.integers(100, 599),
    error=st.none() | st.tuples(TEXT, st.text(alphabet=st.characters(codec="utf-8"), max_size=900)),
    latency_ms=TOKENS,
    usage=st.none() | USAGES,
    raw_usage=st.none() | st.dictionaries(TEXT, TOKENS | TEXT | st.dictionaries(TEXT, TOKENS), max_size=3),
    cost=AMOUNT,
    operator_cost=AMOUNT,
    finish_reason=MAYBE,
    service_tier=MAYBE,
)
CALLS = st.builds(
    CallLog,
    request_id=st.builds(uuid7),
    trace_id=MAYBE,
    api_key_id=st.builds(uuid7),
    user_id=MAYBE,
    team_id=MAYBE,
    tier=MAYBE,
    operation=TEXT,
    requested_model=TEXT,
    alias=MAYBE,
    streamed=st.booleans(),
    started_at=INSTANTS,
    simulated=st.booleans(),
    tags=st.dictionaries(TEXT, TEXT, max_size=3),
    source=st.sampled_from(get_args(Source)),
    period=st.just("2026-11"),
    status=st.sampled_from(get_args(Status)),
    http_status=st.integers(200, 599),
    ttft_ms=st.none() | TOKENS,
    latency_ms=TOKENS,
    decision=DECISION,
    dropped_params=st.lists(TEXT, max_size=2).map(tuple),
)


@given(CALLS, st.lists(ATTEMPTS, min_size=1, max_size=3), st.sampled_from(get_args(UsageKind)))
def test_every_call_is_told_as_the_contract_says(call: CallLog, attempts: list[AttemptLog], kind: UsageKind) -> None:
    event_id, subject, body = encode_usage(call, attempts, kind, "/gateway")
    told = check("usage.recorded.v1", body)
    assert told["id"] == event_id == usage_event_id(call.request_id, kind)
    assert subject == f"usage.recorded.{attempts[-1].provider_type}.{call.api_key_id}"
    assert len(body) < LARGEST_EVENT_BYTES

    read = UsageRecorded.model_validate(told["data"])
    assert read.cost_usd.usd == sum((one.cost for one in attempts), Decimal(0))
    assert read.operator_cost_usd.usd == sum((one.operator_cost for one in attempts), Decimal(0))
    assert read.usage.to_usage() == (attempts[-1].usage or Usage())
    assert [one.usage and one.usage.to_usage() for one in read.attempts] == [one.usage for one in attempts]
    assert {name: rate.usd for name, rate in read.price.rates.items()} == attempts[-1].price.rates
    assert (read.period, read.status, read.tags) == (call.period, call.status, call.tags)


@given(MAYBE, TEXT, st.integers(400, 503), st.none() | st.text(alphabet=st.characters(codec="utf-8")), INSTANTS)
def test_every_refusal_is_told_as_the_contract_says(
    key: str | None, reason: str, status: int, model: str | None, at: datetime
) -> None:
    request_id, event_id = uuid7(), uuid7()
    subject, body = encode_rejected(event_id, request_id, key, reason, status, model, at, "/gateway")
    told = check("usage.rejected.v1", body)
    assert subject == f"usage.rejected.{reason}"
    expected: dict[str, Any] = {"request_id": request_id, "api_key_id": key, "reason": reason, "http_status": status}
    assert expected.items() <= told["data"].items()
    assert (told["id"], told["subject"]) == (event_id, request_id)
