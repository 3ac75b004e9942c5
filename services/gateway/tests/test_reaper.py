"""What the reaper makes of an abandoned hold, and the event of a call: as the contract demands, whatever happened."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from common.contracts.envelope import Envelope
from common.contracts.usage import UsageRecorded, UsageRejected
from common.pricing import FALLBACK
from common.testing.clocks import FixedClock
from common.usage import Usage
from gateway.limits.limiter import Abandoned
from gateway.limits.redis import RedisAway
from gateway.metering import AttemptLog, CallLog, NowhereToStore, earlier_of, encode_rejected, encode_usage
from gateway.mirrors.catalog import Catalog
from gateway.reaper import Reaper
from gateway_stack import model_snapshot
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

AT = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
CALL = {
    "trace_id": None, "api_key_id": "key-1", "user_id": "user-1", "team_id": None, "tier": None, "operation": "chat",
    "requested_model": "gpt-4", "alias": None, "streamed": True, "started_at": AT, "simulated": False, "tags": {"a": "b"},
    "provider_type": "openai", "provider_id": "openai", "model_id": "m-1", "model": "gpt-4", "credential_id": "c-1",
    "input_tokens": 100,
}  # fmt: skip
COUNTERS = ("key:key-1:2026-11", "team:t-1:2026-W47")
HOLD = Abandoned("req-1", 1, COUNTERS, 10**9, 50, "e1", msgspec.json.encode(CALL))


class Books:
    """A limiter and a recorder in one, that write down what they are told."""

    def __init__(self, *holds: Abandoned) -> None:
        self.holds = list(holds)
        self.events: list[UsageRecorded] = []
        self.settled: list[tuple[Any, ...]] = []
        self.is_full = False

    async def reap(self, most: int, hidden_seconds: float) -> list[Abandoned]:
        return self.holds

    async def settle(self, *told: Any) -> str:
        self.settled.append(told)
        return "settled"

    async def make_safe(self, event_id: str, subject: str, body: bytes) -> None:
        if self.is_full:
            raise NowhereToStore
        envelope = Envelope[UsageRecorded].model_validate_json(body)
        assert envelope.id == event_id
        assert subject == "usage.recorded.openai.key-1"
        self.events.append(envelope.data)


def reaper_of(books: Books) -> Reaper:
    catalog = Catalog()
    catalog.apply("model.1", model_snapshot("openai", "gpt-4", "30", "60").model_dump_json().encode())
    return Reaper(books, books, catalog, FixedClock(AT), "/gateway")  # type: ignore[arg-type]


async def test_what_was_delivered_is_the_caller_s(tmp_path: Any) -> None:
    books = Books(HOLD)
    assert await reaper_of(books).reap() == 1
    [event] = books.events
    assert (event.kind, event.status, event.http_status) == ("estimated", "failed", 500)
    assert event.usage.estimated
    assert (event.usage.input_tokens, event.usage.output_tokens) == (100, 50)
    assert event.cost_usd.usd == Decimal("0.006")
    assert event.operator_cost_usd.usd == 0
    assert event.error is not None
    assert event.error.reason == "gateway_lost"
    assert books.settled == [("req-1", 1, 6_000_000, 150, "estimated", "e1")]
    assert (event.budgets, event.period, event.epoch) == (COUNTERS, "2026-11", "e1")


def failed_before(**changes: Any) -> AttemptLog:
    """A first attempt that failed after its provider had reported what it used."""
    given: dict[str, Any] = {
        "number": 1, "provider_type": "groq", "provider_id": "groq", "model": "llama", "credential_id": "c-2",
        "price": FALLBACK, "held_nano": 10**9, "budgets": ("key:key-1:2026-11", "provider:groq:2026-11"), "epoch": "e1",
        "error": ("provider_error", "it broke off"), "usage": Usage(output_tokens=7, units={"searches": 2}),
        "cost": Decimal("0.25"), "operator_cost": Decimal("0.01"),
    }  # fmt: skip
    return AttemptLog(**{**given, **changes})


def second_hold(first: AttemptLog, **changes: Any) -> Abandoned:
    """The hold of the attempt after it, as the gateway that died left it."""
    call = msgspec.json.encode({**CALL, "earlier": [earlier_of(first)]})
    return Abandoned(*(HOLD.request_id, 2, COUNTERS, 10**9, 50, changes.get("epoch", "e1"), call))


async def test_what_earlier_attempts_cost_is_told_with_the_one_that_was_abandoned() -> None:
    books = Books(second_hold(failed_before()))
    await reaper_of(books).reap()
    [event] = books.events
    assert event.cost_usd.usd == Decimal("0.256")
    assert event.operator_cost_usd.usd == Decimal("0.01")
    assert [(one.provider, one.cost_usd.usd, one.status) for one in event.attempts] == [
        ("groq", Decimal("0.25"), "failed"),
        ("openai", Decimal("0.006"), "failed"),
    ]
    assert event.attempts[0].usage is not None
    assert (event.attempts[0].usage.output_tokens, event.attempts[0].usage.units) == (7, {"searches": 2})
    assert set(event.budgets) == {*COUNTERS, "provider:groq:2026-11"}
    assert books.settled == [("req-1", 2, 6_000_000, 150, "estimated", "e1")]


async def test_what_was_settled_in_an_epoch_that_is_over_makes_the_whole_call_billing_s() -> None:
    books = Books(second_hold(failed_before(), epoch="e2"))
    await reaper_of(books).reap()
    assert books.events[0].epoch == "e1"
    assert books.settled[0][-1] == "e1"


@pytest.mark.parametrize("delivered", [-1, 0])
async def test_what_nobody_saw_is_the_operator_s(delivered: int) -> None:
    books = Books(replace(HOLD, delivered_tokens=delivered))
    await reaper_of(books).reap()
    [event] = books.events
    assert event.cost_usd.usd == 0
    assert event.operator_cost_usd.usd == Decimal("0.003")
    assert books.settled[0][2] == 0


async def test_no_more_is_charged_than_was_held() -> None:
    books = Books(replace(HOLD, held_nano=1000, delivered_tokens=10**6))
    await reaper_of(books).reap()
    assert books.events[0].cost_usd.to_nano_ceiling() == 1000


async def test_a_model_that_is_gone_costs_the_fallback_price() -> None:
    books = Books(replace(HOLD, call=msgspec.json.encode({**CALL, "model": "gone"})))
    await reaper_of(books).reap()
    assert books.events[0].price.is_fallback


@pytest.mark.parametrize("call", [b"", b"{}", b"\xff", b"[]", msgspec.json.encode({**CALL, "started_at": "soon"})])
async def test_a_hold_that_cannot_be_read_stays_and_stops_nobody(call: bytes) -> None:
    books = Books(replace(HOLD, call=call), replace(HOLD, request_id="req-2"))
    await reaper_of(books).reap()
    assert [event.request_id for event in books.events] == ["req-2"]
    assert [told[0] for told in books.settled] == ["req-2"]


async def test_nothing_is_settled_that_could_not_be_told() -> None:
    books = Books(HOLD)
    books.is_full = True
    with pytest.raises(NowhereToStore):
        await reaper_of(books).reap()
    assert books.settled == []


async def test_the_reaper_outlives_what_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.reaper._EVERY_SECONDS", 0)
    tries = 0

    class Away(Books):
        async def reap(self, most: int, hidden_seconds: float) -> list[Abandoned]:
            nonlocal tries
            tries += 1
            if tries > 3:
                raise KeyboardInterrupt
            raise RedisAway

    with pytest.raises(KeyboardInterrupt):
        await reaper_of(Away()).run()
    assert tries == 4


TEXT = st.text(max_size=300)


@given(TEXT.filter(bool), TEXT, TEXT, st.integers(0, 10**12), st.none() | st.dictionaries(TEXT, st.integers() | TEXT))
def test_every_event_is_as_the_contract_demands(
    model: str, message: str, tag: str, tokens: int, raw: dict[str, Any] | None
) -> None:
    call = CallLog(
        request_id="req-1", trace_id=None, api_key_id="key-1", user_id=None, team_id=None, tier=None, operation="chat",
        requested_model=model, alias=None, streamed=False, started_at=AT, simulated=False, tags={tag: tag},
    )  # fmt: skip
    attempt = AttemptLog(
        number=1, provider_type="openai", provider_id="openai", model=model, credential_id="c-1", price=FALLBACK,
        held_nano=1, budgets=("key:key-1:2026-11",), epoch="e1", error=("provider_error", message),
        usage=Usage(output_tokens=tokens), raw_usage=raw,
    )  # fmt: skip
    event_id, subject, body = encode_usage(call, [attempt, attempt], "final", "/gateway")
    envelope = Envelope[UsageRecorded].model_validate_json(body)
    assert (envelope.id, subject) == (event_id, "usage.recorded.openai.key-1")
    assert envelope.data.raw_usage == raw
    assert envelope.data.usage.total_tokens == tokens
    assert len(body) < 64 * 1024


@given(st.none() | TEXT)
def test_a_refusal_s_event_is_as_the_contract_demands(model: str | None) -> None:
    subject, body = encode_rejected("e-1", "req-1", None, "model_not_found", 400, model, AT, "/gateway")
    assert subject == "usage.rejected.model_not_found"
    assert Envelope[UsageRejected].model_validate_json(body).data.http_status == 400
    assert json.loads(body)["data"]["requested_model"] == (model[:256] if model else None)
