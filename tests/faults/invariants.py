"""The promises, each a pure function from the evidence of a round to what breaks it: an empty list when it holds.

I1 complete answers are durable   I5 rebuildable      I9 skew-proof           I16 no zero price
I2 provider calls are recorded    I6 no gaps          I10 fenced              I17 tenants stay apart
I3 exact sums                     I7 no hold leaks    I11 closed when blind   I18 a drain loses nothing
I4 never overspent, no false refusal                  I8 hanging up costs     I12 revoked is refused
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_CEILING, Decimal
from uuid import UUID

from .journals import ClientCall, Disturbance, Event, Evidence, ProviderCall

NANO = 1_000_000_000
CLOCK_TOLERANCE_SECONDS = 0.05
BLIND_GRACE_SECONDS = 0.3
"""How long after a cut what was already admitted may still reach the provider."""
BLIND_ANSWER_SECONDS = 1.5
"""A gateway waits a second for Redis before it says that it is away."""
BUS_RECOVERY_SECONDS = 5.0
"""How long after the bus is back events may still go by way of Redis: connections come back one by one."""
REAPED_SECONDS = 40.0
"""A dead gateway's hold has been reaped by then."""
_MOST_SHOWN = 5


def standing(events: Iterable[Event]) -> dict[str, Event]:
    """The event that counts for each request: the final one, else the estimated."""
    found: dict[str, Event] = {}
    for event in events:
        if event.request_id not in found or event.kind == "final":
            found[event.request_id] = event
    return found


def i1_complete_answers_are_durable(evidence: Evidence) -> list[str]:
    """Whatever a client saw to its end has a final event, stored before the last byte unless the bus was disturbed."""
    finals = {event.request_id: event for event in reversed(evidence.events) if event.kind == "final"}
    found = []
    for call in _complete(evidence):
        event = finals.get(call.request_id or "")
        if event is None:
            found.append(f"call {call.number} ({call.request_id}) was complete and has no final event")
        elif event.stored_at > call.ended_at + CLOCK_TOLERANCE_SECONDS and not _hit(evidence, call, "nats"):
            late = event.stored_at - call.ended_at
            found.append(f"call {call.number} ended {late:.3f} s before its event was stored")
    return found


def i2_provider_calls_are_recorded(evidence: Evidence) -> list[str]:
    """Every call that reached the provider has ended in exactly one event that counts.

    The hold is the intent. Where the gateway died and Redis lost the hold before anybody reaped it, nobody knows.
    """
    kinds = defaultdict(set)
    for event in evidence.events:
        kinds[event.request_id].add(event.kind)
    found = [
        f"the provider was called for {call.request_id}, of which no event tells"
        for call in evidence.provider
        if not kinds[call.request_id] and not _gateway_and_hold_lost(evidence, call)
    ]
    per_request = Counter((event.request_id, event.kind, event.event_id) for event in evidence.events)
    ids = Counter((request, kind) for request, kind, _ in per_request)
    return found + [f"{request} has {n} {kind} events of different ids" for (request, kind), n in ids.items() if n > 1]


def i3_sums_are_exact(evidence: Evidence) -> list[str]:
    """Tokens × price = event = ledger, to the last digit; every transaction sums to zero; nothing is booked twice;
    without a fault nothing is estimated by a reaper."""
    found = []
    transactions: dict[str, Decimal] = defaultdict(Decimal)
    customers: dict[str, Decimal] = defaultdict(Decimal)
    operators: dict[str, Decimal] = defaultdict(Decimal)
    for line in evidence.lines:
        transactions[line.transaction] += line.amount
        if line.account.startswith("customer:"):
            customers[line.request_id] += line.amount
        if line.account.startswith("operator:"):
            operators[line.request_id] += line.amount
    found += [f"transaction {name} sums to {total}" for name, total in transactions.items() if total]
    truth = {call.request_id: call for call in evidence.provider if call.is_ended}
    for request, event in standing(evidence.events).items():
        found += _event_is_priced(event)
        if customers[request] != event.cost or operators[request] != event.operator_cost:
            booked = f"{customers[request]} + {operators[request]}"
            found.append(f"{request}: booked {booked}, the event says {event.cost} + {event.operator_cost}")
        provider = truth.get(request)
        if provider is not None and event.kind == "final" and event.status == "completed" and not event.is_estimated:
            told = (event.input_tokens, event.output_tokens)
            if told != (provider.input_tokens, provider.output_tokens):
                true = f"{provider.input_tokens} + {provider.output_tokens}"
                found.append(f"{request}: metered {told[0]} + {told[1]} tokens, the provider counted {true}")
    if not evidence.disturbances:
        found += [
            f"{event.request_id} was left to the reaper" for event in evidence.events if event.kind == "estimated"
        ]
    return found + _counters_match(evidence)


def _event_is_priced(event: Event) -> list[str]:
    """Exact where the call came to an end that was told; else nobody pays for more than is known to have been used, and
    what a failed call may have cost unreported is the operator's, within the bound."""
    exact = event.input_tokens * event.input_price + event.output_tokens * event.output_price
    if event.kind == "final" and event.status in ("completed", "cancelled"):
        is_right = event.cost + event.operator_cost == exact
    else:
        is_within = event.bound_nano is None or event.operator_cost * NANO <= event.bound_nano
        is_right = event.cost <= exact and is_within
    if is_right:
        return []
    total = f"{event.cost} + {event.operator_cost}"
    return [f"{event.request_id} ({event.kind}, {event.status}): costs {total}, tokens × price is {exact}"]


def _counters_match(evidence: Evidence) -> list[str]:
    """What Redis counts as spent is what the ledger says, in nano-USD, each call rounded up."""
    owed: dict[str, int] = defaultdict(int)
    for event in standing(evidence.events).values():
        owed[event.key_id] += int((event.cost * NANO).to_integral_value(ROUND_CEILING))
    return [
        f"key {key}: Redis counts {counters.spent} nano-USD, the ledger {owed[key]}"
        for key, counters in evidence.counters.items()
        if counters.spent != owed[key]
    ]


def i4_never_overspent(evidence: Evidence) -> list[str]:
    """spent + held ≤ limit in every sample, what was booked stays within it, and no bound was too low for its call.

    A call that a reaper told of while its gateway was paused is held again only as far as others have left room.
    """
    found = [
        f"key {sample.key_id}: {sample.spent} spent + {sample.held} held > {sample.limit} at {sample.at:.3f}"
        for sample in evidence.samples
        if sample.spent + sample.held > sample.limit
    ]
    booked: dict[str, Decimal] = defaultdict(Decimal)
    for line in evidence.lines:
        if line.account.startswith("customer:"):
            booked[line.account.removeprefix("customer:")] += line.amount
    found += [
        f"key {key.id}: {booked[key.id]} booked on a budget of {key.budget_nano} nano-USD"
        for key in evidence.keys.values()
        if key.budget_nano is not None and booked[key.id] * NANO > key.budget_nano
    ]
    reaped = {event.request_id for event in evidence.events if event.kind == "estimated"}
    return found + [
        f"{event.request_id}: {event.operator_cost} of a completed call lay beyond its bound"
        for event in standing(evidence.events).values()
        if event.status == "completed" and event.operator_cost and event.request_id not in reaped
    ]


def i4_no_false_refusal(evidence: Evidence) -> list[str]:
    """Refused for the budget only if spent + held + bound may have passed it at some moment of the call.

    Who is told not to come again is refused for what is spent alone, which only grows: that it left too little for this
    very call is seen to the nano-dollar. Who is told to come again is refused for what others hold. What was held for
    long is in the samples; a hold may come and go between two of them, so every call that ran at the same time is taken
    to have held the most that any call of its key did.
    """
    bounds: dict[str, int] = defaultdict(int)
    for event in evidence.events:
        bounds[event.key_id] = max(bounds[event.key_id], event.bound_nano or 0)
    found = []
    for call in evidence.calls:
        key = evidence.keys[call.key_id]
        if call.status != 402:
            continue
        if key.budget_nano is None:
            found.append(f"call {call.number} was refused for a budget that its key does not have")
            continue
        if call.retry_after is None:
            found += _refused_for_good(evidence, call, key.budget_nano)
            continue
        most = _most_counted(evidence, call)
        beside = bounds[key.id] * (1 + _others_running(evidence, call))
        if most is not None and most + beside <= key.budget_nano:
            found.append(f"call {call.number} was refused at {most} + at most {beside} of {key.budget_nano} nano-USD")
    return found


def _refused_for_good(evidence: Evidence, call: ClientCall, limit: int) -> list[str]:
    """What is wrong with a refusal that time will not cure, by what had been spent when it came."""
    event = next((event for event in evidence.events if event.key_id == call.key_id), None)
    if event is None:
        return []
    needed = int((call.least[0] * event.input_price + call.least[1] * event.output_price) * NANO)
    until = call.ended_at + CLOCK_TOLERANCE_SECONDS
    spent = max((s.spent for s in evidence.samples if s.key_id == call.key_id and s.at <= until), default=None)
    if spent is None or spent + needed > limit:
        return []
    return [f"call {call.number} was refused for good at {spent} spent + {needed} needed of {limit} nano-USD"]


def _others_running(evidence: Evidence, call: ClientCall) -> int:
    """How many other calls of the same key, not refused themselves, ran beside it or had just ended."""
    return sum(
        other is not call
        and other.key_id == call.key_id
        and other.status != 402
        and other.began_at <= call.ended_at
        and other.ended_at + CLOCK_TOLERANCE_SECONDS >= call.began_at
        for other in evidence.calls
    )


def _most_counted(evidence: Evidence, call: ClientCall) -> int | None:
    """The most that was counted on a call's key while it ran; None when nobody looked."""
    before = [
        s for s in evidence.samples if s.key_id == call.key_id and s.at <= call.ended_at + CLOCK_TOLERANCE_SECONDS
    ]
    during = [s.spent + s.held for s in before if s.at >= call.began_at - CLOCK_TOLERANCE_SECONDS]
    last = [s.spent + s.held for s in before if s.at < call.began_at - CLOCK_TOLERANCE_SECONDS][-1:]
    return max([*during, *last], default=None)


def i5_rebuildable(evidence: Evidence) -> list[str]:
    """A ledger made anew from the stream says the same of every request and account."""
    if evidence.rebuilt is None:
        return []
    was: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in evidence.lines:
        was[line.request_id, line.account] += line.amount
    return [
        f"{request} {account}: {was.get((request, account), 0)} became {evidence.rebuilt.get((request, account), 0)}"
        for request, account in {*was, *evidence.rebuilt}
        if was.get((request, account), 0) != evidence.rebuilt.get((request, account), 0)
    ]


def i6_no_gaps(evidence: Evidence) -> list[str]:
    """Every event of the stream is booked or in the DLQ, and no sequence is missing."""
    found = [
        f"event {event.event_id} (sequence {event.sequence}) is neither booked nor dead"
        for event in evidence.events
        if event.event_id not in evidence.booked | evidence.dead
    ]
    found += [f"event {event_id} went to the DLQ" for event_id in evidence.dead]
    there = set(evidence.sequences)
    missing = [n for n in range(min(there, default=1), max(there, default=0) + 1) if n not in there]
    return found + [f"sequence {sequence} is missing from the stream" for sequence in missing]


def i7_no_hold_leaks(evidence: Evidence) -> list[str]:
    """Once all calls have ended nothing is held."""
    found = [f"{name} is still there" for name in evidence.open_holds]
    found += [f"key {key}: {c.held} nano-USD still held" for key, c in evidence.counters.items() if c.held]
    return found if evidence.drained else [*found, "it did not come to rest in time"]


def i8_hanging_up_costs(evidence: Evidence) -> list[str]:
    """Who hung up after tokens had come pays for at least these, and for no more than the provider made."""
    events = standing(evidence.events)
    truth = {call.request_id: call for call in evidence.provider}
    found = []
    for call in evidence.calls:
        event = events.get(call.request_id or "")
        if not call.hung_up or not call.chunks or event is None:
            continue
        provider = truth.get(event.request_id)
        if event.kind == "final" and event.output_tokens < call.chunks:
            found.append(f"call {call.number} got {call.chunks} tokens and was charged for {event.output_tokens}")
        if event.kind == "final" and event.cost <= 0:
            found.append(f"call {call.number} hung up after {call.chunks} tokens and paid nothing")
        if provider is not None and provider.is_ended and event.output_tokens > provider.output_tokens:
            found.append(f"call {call.number} was charged {event.output_tokens} tokens of {provider.output_tokens}")
    return found


def i9_skew_proof(evidence: Evidence) -> list[str]:
    """Whatever a gateway's clock says, a call counts in the month in which it was made."""
    found = [
        f"{e.request_id} counts in {e.period}, made in {evidence.month}"
        for e in evidence.events
        if e.period != evidence.month
    ]
    return found + [
        f"{line.request_id} is booked in {line.month}" for line in evidence.lines if line.month != evidence.month
    ]


def i10_fenced(evidence: Evidence) -> list[str]:
    """No call that came while admission was closed reached the provider before it was opened again."""
    found = []
    for began, ended in closed_phases(evidence):
        found += _started_within(evidence, began + BLIND_GRACE_SECONDS, ended, "admission was closed")
    return found


def closed_phases(evidence: Evidence) -> list[tuple[float, float]]:
    """From the first sample without an epoch to the first one with it again."""
    phases, began = [], None
    for sample in evidence.samples:
        if not sample.is_open and began is None:
            began = sample.at
        elif sample.is_open and began is not None:
            phases.append((began, sample.at - CLOCK_TOLERANCE_SECONDS))
            began = None
    return phases


def i11_closed_when_blind(evidence: Evidence) -> list[str]:
    """With Redis away no call starts, and clients hear 503 with Retry-After, soon."""
    found = []
    for disturbance in evidence.disturbances:
        if disturbance.what != "blind":
            continue
        began, ended = disturbance.phase
        found += _started_within(evidence, began + BLIND_GRACE_SECONDS, ended, "Redis was away", disturbance)
        for call in evidence.calls:
            if not _came_within(call, began + BLIND_GRACE_SECONDS, ended - BLIND_ANSWER_SECONDS):
                continue
            if call.hung_up or call.status == 401 or call.gateway not in disturbance.parts:
                continue
            took = call.ended_at - call.began_at
            if call.status != 503 or call.retry_after is None or took > BLIND_ANSWER_SECONDS:
                found.append(f"call {call.number} got {call.status} after {took:.2f} s, Retry-After {call.retry_after}")
    return found


def i12_revoked_is_refused(evidence: Evidence) -> list[str]:
    """Once a revocation was answered no later call of that key is served."""
    found = []
    for call in evidence.calls:
        revoked_at = evidence.keys[call.key_id].revoked_at
        if revoked_at is not None and call.began_at > revoked_at and call.status == 200:
            found.append(f"call {call.number} was served {call.began_at - revoked_at:.3f} s after its key's revocation")
    return found


def i16_no_zero_price(evidence: Evidence) -> list[str]:
    """Tokens that were used cost something, at a true price."""
    found = []
    for event in standing(evidence.events).values():
        tokens = event.input_tokens + event.output_tokens
        if event.status == "completed" and tokens and not event.cost + event.operator_cost:
            found.append(f"{event.request_id} used {tokens} tokens for nothing")
        if event.is_fallback or not event.input_price or not event.output_price:
            found.append(f"{event.request_id} was priced at {event.input_price}, {event.output_price} a token")
    return found


def i17_tenants_stay_apart(evidence: Evidence) -> list[str]:
    """Nobody sees a part of another's answer, and nobody pays for another's call."""
    found = [
        f"call {call.number} saw {sorted(call.markers - {call.marker})}"
        for call in evidence.calls
        if call.markers - {call.marker}
    ]
    found += [f"call {c.number} saw an answer of nobody" for c in _complete(evidence) if c.marker not in c.markers]
    events = standing(evidence.events)
    for call in evidence.calls:
        event = events.get(call.request_id or "")
        if event is not None and event.key_id != call.key_id:
            found.append(f"call {call.number} of key {call.key_id} was charged to {event.key_id}")
    return found


def i18_a_drain_loses_nothing(evidence: Evidence) -> list[str]:
    """A gateway that is told to stop ends what it has begun."""
    found = []
    for disturbance in evidence.disturbances:
        if disturbance.what != "drain":
            continue
        for call in evidence.calls:
            is_hit = call.gateway in disturbance.parts and _overlaps(call, disturbance)
            if is_hit and not call.hung_up and not call.is_complete and call.status in (0, 200):
                found.append(f"call {call.number} broke off (status {call.status}, {call.chunks} chunks) in a drain")
    return found


INVARIANTS: Mapping[str, Callable[[Evidence], list[str]]] = {
    "I1": i1_complete_answers_are_durable,
    "I2": i2_provider_calls_are_recorded,
    "I3": i3_sums_are_exact,
    "I4": i4_never_overspent,
    "I4r": i4_no_false_refusal,
    "I5": i5_rebuildable,
    "I6": i6_no_gaps,
    "I7": i7_no_hold_leaks,
    "I8": i8_hanging_up_costs,
    "I9": i9_skew_proof,
    "I10": i10_fenced,
    "I11": i11_closed_when_blind,
    "I12": i12_revoked_is_refused,
    "I16": i16_no_zero_price,
    "I17": i17_tenants_stay_apart,
    "I18": i18_a_drain_loses_nothing,
}


def broken(evidence: Evidence) -> dict[str, list[str]]:
    """What breaks each invariant that does not hold."""
    return {name: found for name, check in INVARIANTS.items() if (found := check(evidence))}


def shown(found: list[str]) -> list[str]:
    """Some of many."""
    rest = len(found) - _MOST_SHOWN
    return found[:_MOST_SHOWN] + ([f"… and {rest} more"] if rest > 0 else [])


def _complete(evidence: Evidence) -> list[ClientCall]:
    return [call for call in evidence.calls if call.is_complete]


def _hit(evidence: Evidence, call: ClientCall, part: str) -> bool:
    """Whether a part was disturbed while a call ran."""
    return any(
        part in disturbance.parts
        and call.began_at <= disturbance.ended_at + BUS_RECOVERY_SECONDS
        and call.ended_at >= disturbance.began_at
        for disturbance in evidence.disturbances
    )


def _gateway_and_hold_lost(evidence: Evidence, call: ProviderCall) -> bool:
    """A provider may read only after its death what a gateway has sent: so it counts when the call came, as its id says."""
    killed = [d for d in evidence.disturbances if d.what == "kill" and any(p.startswith("gateway") for p in d.parts)]
    lost = [d.began_at for d in evidence.disturbances if d.what in ("emptied", "lost")]
    return any(
        _came_at(call) <= one.ended_at and one.began_at <= at <= one.began_at + REAPED_SECONDS
        for one in killed
        for at in lost
    )


def _came_at(call: ProviderCall) -> float:
    """When the gateway took a call in, in seconds since 1970: the first 48 bits of its id are the milliseconds."""
    return min(call.started_at, (UUID(call.request_id).int >> 80) / 1000)


def _overlaps(call: ClientCall, disturbance: Disturbance) -> bool:
    return call.began_at <= disturbance.ended_at and call.ended_at >= disturbance.began_at


def _came_within(call: ClientCall, began: float, ended: float) -> bool:
    return began <= call.began_at <= ended


def _started_within(
    evidence: Evidence, began: float, ended: float, why: str, disturbance: Disturbance | None = None
) -> list[str]:
    """Provider calls of clients that came in a phase, and that started in it."""
    starts = {call.request_id: call.started_at for call in evidence.provider}
    found = []
    for call in evidence.calls:
        if disturbance is not None and call.gateway not in disturbance.parts:
            continue
        started = starts.get(call.request_id or "")
        if started is not None and _came_within(call, began, ended) and began <= started <= ended:
            found.append(f"call {call.number} reached the provider while {why}")
    return found
