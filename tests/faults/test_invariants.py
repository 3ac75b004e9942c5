"""Each promise holds for sound evidence, and is seen broken when one thing in it is wrong."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from .invariants import INVARIANTS, broken
from .journals import ClientCall, Counters, Disturbance, Event, Evidence, KeyTerms, Line, ProviderCall, Sample

PRICE_IN, PRICE_OUT = Decimal("0.00003"), Decimal("0.00006")
COST = 10 * PRICE_IN + 5 * PRICE_OUT
NANO = int(COST * 1_000_000_000)
AT = 1_800_000_000.0
REQUEST = str(UUID(int=int((AT + 0.05) * 1000) << 80))
CALL = ClientCall(
    number=0,
    key_id="k",
    gateway="gateway-a",
    marker="m-0-5",
    streamed=True,
    wanted_tokens=5,
    began_at=AT,
    ended_at=AT + 1,
    status=200,
    request_id=REQUEST,
    is_complete=True,
    chunks=5,
    markers={"m-0-5"},
)
PROVIDER = ProviderCall(REQUEST, AT + 0.1, 200, True, True, 10, 5)
EVENT = Event(
    sequence=1,
    stored_at=AT + 0.9,
    event_id="e",
    kind="final",
    request_id=REQUEST,
    key_id="k",
    status="completed",
    input_tokens=10,
    output_tokens=5,
    is_estimated=False,
    input_price=PRICE_IN,
    output_price=PRICE_OUT,
    is_fallback=False,
    cost=COST,
    operator_cost=Decimal(0),
    period="2027-01",
    bound_nano=2 * NANO,
)
LINES = [Line("t", "customer:k", COST, REQUEST, "2027-01"), Line("t", "provider:openai", -COST, REQUEST, "2027-01")]
SAMPLES = [
    Sample(AT - 1, "k", 0, 0, 10 * NANO, True),
    Sample(AT + 0.1, "k", 0, 2 * NANO, 10 * NANO, True),
    Sample(AT + 0.9, "k", NANO, 0, 10 * NANO, True),
]
SOUND = Evidence(
    keys={"k": KeyTerms("k", "s", budget_nano=10 * NANO)},
    calls=[CALL],
    provider=[PROVIDER],
    events=[EVENT],
    sequences=[1],
    lines=LINES,
    booked=frozenset({"e"}),
    dead=frozenset(),
    counters={"k": Counters(NANO, 0)},
    open_holds=[],
    samples=SAMPLES,
    disturbances=[],
    month="2027-01",
    rebuilt={(REQUEST, "customer:k"): COST, (REQUEST, "provider:openai"): -COST},
)
HUNG_UP = replace(CALL, is_complete=False, hung_up=True, chunks=4)
CANCELLED = replace(EVENT, status="cancelled", is_estimated=True)
BLIND = Disturbance("blind", frozenset({"gateway-a"}), AT - 2, AT + 5)
DRAIN = Disturbance("drain", frozenset({"gateway-a"}), AT, AT + 1)
SHUT = [Sample(AT - 1, "k", 0, 0, 10 * NANO, False), Sample(AT + 2, "k", 0, 0, 10 * NANO, True)]

WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "a complete answer without a final event": ("I1", {"events": [replace(EVENT, kind="estimated")]}),
    "an event stored after the last byte": ("I1", {"events": [replace(EVENT, stored_at=AT + 2)]}),
    "a provider call without an event": ("I2", {"events": [], "calls": []}),
    "two events of one kind with different ids": ("I2", {"events": [EVENT, replace(EVENT, event_id="f", sequence=2)]}),
    "an event that is not tokens × price": ("I3", {"events": [replace(EVENT, cost=COST + Decimal("1e-12"))]}),
    "a ledger that says something else": ("I3", {"lines": [replace(line, amount=2 * line.amount) for line in LINES]}),
    "an estimate without a fault": (
        "I3",
        {"events": [EVENT, replace(EVENT, kind="estimated", event_id="f", sequence=2)]},
    ),
    "an event booked twice": ("I3", {"lines": [*LINES, *(replace(line, transaction="u") for line in LINES)]}),
    "a transaction that does not sum to zero": ("I3", {"lines": LINES[:1]}),
    "other tokens than the provider's": ("I3", {"provider": [replace(PROVIDER, output_tokens=6)]}),
    "a counter that is not the ledger": ("I3", {"counters": {"k": Counters(NANO + 1, 0)}}),
    "a moment over the limit": ("I4", {"samples": [*SAMPLES, Sample(AT, "k", 9 * NANO, NANO + 1, 10 * NANO, True)]}),
    "more booked than the budget": ("I4", {"keys": {"k": KeyTerms("k", "s", budget_nano=NANO - 1)}}),
    "a bound that was too low": (
        "I4",
        {"events": [replace(EVENT, cost=COST / 2, operator_cost=COST / 2)], "keys": {"k": KeyTerms("k", "s")}},
    ),
    "a refusal with room left": (
        "I4r",
        {"calls": [CALL, replace(CALL, status=402, is_complete=False, request_id="q")]},
    ),
    "a refusal that comes too early to be for good": (
        "I4r",
        {"calls": [CALL, replace(CALL, status=402, is_complete=False, request_id="q", least=(60, 20))]},
    ),
    "a refusal with room left, to be tried again": (
        "I4r",
        {"calls": [CALL, replace(CALL, status=402, is_complete=False, request_id="q", retry_after="1")]},
    ),
    "a refusal without a budget": (
        "I4r",
        {"keys": {"k": KeyTerms("k", "s")}, "calls": [CALL, replace(CALL, status=402, is_complete=False)]},
    ),
    "another ledger after a rebuild": ("I5", {"rebuilt": {(REQUEST, "customer:k"): COST}}),
    "an event that nobody booked": ("I6", {"booked": frozenset()}),
    "an event in the DLQ": ("I6", {"dead": frozenset({"e"})}),
    "a hole in the stream": ("I6", {"sequences": [1, 3]}),
    "a hold that stays": ("I7", {"open_holds": ["hold:r/1"]}),
    "an amount that stays held": ("I7", {"counters": {"k": Counters(NANO, 1)}}),
    "no rest": ("I7", {"drained": False}),
    "a hang-up for nothing": (
        "I8",
        {"calls": [HUNG_UP], "events": [replace(CANCELLED, cost=Decimal(0))]},
    ),
    "a hang-up for less than was delivered": (
        "I8",
        {"calls": [HUNG_UP], "events": [replace(CANCELLED, output_tokens=3)]},
    ),
    "a hang-up for more than was made": (
        "I8",
        {"calls": [HUNG_UP], "events": [CANCELLED], "provider": [replace(PROVIDER, output_tokens=4)]},
    ),
    "a call in another month": ("I9", {"events": [replace(EVENT, period="2026-12")]}),
    "a line in another month": ("I9", {"lines": [replace(line, month="2026-12") for line in LINES]}),
    "a call while admission was closed": ("I10", {"samples": SHUT}),
    "a call while Redis was away": ("I11", {"disturbances": [BLIND]}),
    "a refusal without Retry-After": (
        "I11",
        {"disturbances": [BLIND], "calls": [replace(CALL, status=503, is_complete=False, request_id=None)]},
    ),
    "a slow refusal": (
        "I11",
        {
            "disturbances": [BLIND],
            "calls": [replace(CALL, status=503, is_complete=False, retry_after="1", ended_at=AT + 4)],
        },
    ),
    "a revoked key that is served": ("I12", {"keys": {"k": KeyTerms("k", "s", 10 * NANO, revoked_at=AT - 0.1)}}),
    "tokens for nothing": ("I16", {"events": [replace(EVENT, cost=Decimal(0))]}),
    "a fallback price": ("I16", {"events": [replace(EVENT, is_fallback=True)]}),
    "another tenant's answer": ("I17", {"calls": [replace(CALL, markers={"m-0-5", "m-7-9"})]}),
    "another tenant's bill": ("I17", {"events": [replace(EVENT, key_id="other")]}),
    "a stream that a drain broke": ("I18", {"disturbances": [DRAIN], "calls": [replace(CALL, is_complete=False)]}),
}


def test_sound_evidence_breaks_nothing() -> None:
    assert broken(SOUND) == {}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_breaks_its_promise(what: str) -> None:
    name, change = WRONG[what]
    assert INVARIANTS[name](replace(SOUND, **change))


def test_every_promise_has_been_seen_broken() -> None:
    assert {name for name, _ in WRONG.values()} == set(INVARIANTS)


def test_nobody_knows_a_call_whose_gateway_and_hold_were_lost_together() -> None:
    killed = Disturbance("kill", frozenset({"gateway-a"}), AT + 0.2, AT + 0.3)
    emptied = Disturbance("emptied", frozenset({"redis"}), AT + 2, AT + 2)
    unknown = replace(SOUND, events=[], calls=[], lines=[], sequences=[], counters={}, rebuilt=None)
    assert "I2" in broken(replace(unknown, disturbances=[killed]))
    assert "I2" in broken(replace(unknown, disturbances=[emptied]))
    assert "I2" not in broken(replace(unknown, disturbances=[killed, emptied]))
    read_late = replace(unknown, provider=[replace(PROVIDER, started_at=AT + 0.4)], disturbances=[killed, emptied])
    assert "I2" not in broken(read_late)
    came_late = replace(PROVIDER, started_at=AT + 0.4, request_id=str(UUID(int=int((AT + 0.35) * 1000) << 80)))
    assert "I2" in broken(replace(read_late, provider=[came_late]))


def test_a_late_event_is_forgiven_while_the_bus_was_disturbed() -> None:
    disturbed = Disturbance("kill", frozenset({"nats"}), AT, AT + 0.5)
    late = replace(SOUND, events=[replace(EVENT, stored_at=AT + 9)], disturbances=[disturbed])
    assert "I1" not in broken(late)


def test_a_call_admitted_before_a_cut_may_still_reach_the_provider() -> None:
    cut = replace(BLIND, began_at=AT + 0.05)
    assert "I11" not in broken(replace(SOUND, disturbances=[cut]))


def test_a_refusal_for_good_is_right_when_what_is_spent_leaves_too_little() -> None:
    refused = replace(CALL, status=402, is_complete=False, request_id="q", least=(180, 1))
    assert "I4r" not in broken(replace(SOUND, calls=[CALL, refused]))
    assert "I4r" in broken(replace(SOUND, calls=[CALL, replace(refused, least=(178, 0))]))


def test_a_refusal_is_right_when_all_that_is_left_is_held() -> None:
    held = [*SAMPLES, Sample(AT + 0.5, "k", NANO, 8 * NANO, 10 * NANO, True)]
    refused = replace(CALL, status=402, is_complete=False, request_id="q", retry_after="1")
    assert "I4r" not in broken(replace(SOUND, samples=sorted(held, key=lambda s: s.at), calls=[CALL, refused]))


def test_an_estimate_may_cost_less_than_its_tokens() -> None:
    reaped = replace(EVENT, kind="estimated", status="failed", cost=Decimal(0), operator_cost=COST / 2)
    lines = [replace(LINES[0], account="operator:unbilled", amount=COST / 2), replace(LINES[1], amount=-COST / 2)]
    calls = [replace(CALL, is_complete=False, chunks=0)]
    evidence = replace(SOUND, events=[reaped], lines=lines, calls=calls, counters={"k": Counters(0, 0)}, rebuilt=None)
    assert "was left to the reaper" in str(broken(evidence))
    assert broken(replace(evidence, disturbances=[Disturbance("kill", frozenset({"gateway-a"}), AT, AT + 1)])) == {}


def test_a_call_that_was_reaped_may_have_lost_its_room_to_others() -> None:
    capped = replace(EVENT, operator_cost=COST / 2)
    told = replace(EVENT, kind="estimated", event_id="f", sequence=2)
    assert "beyond its bound" in str(broken(replace(SOUND, events=[capped])))
    assert "beyond its bound" not in str(broken(replace(SOUND, events=[capped, told])))
