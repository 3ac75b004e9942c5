"""How a usage event is read for the books: which of its members matter here, and what is refused.

Of the contract (`common.contracts.usage`) only what the books need is decoded, straight from the event's bytes into the
types that are booked: thousands of events a second are read. Members that a newer gateway adds are passed over; a test
holds each member that is read to the contract. Whatever is refused is a ValueError: no retry cures it, so the consumer
sends the event to the DLQ.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, localcontext
from typing import Annotated
from uuid import UUID

import msgspec
from common.budgets import quota_scope
from common.contracts.usage import USAGE_RECORDED
from common.periods import counter_name
from msgspec import Meta

from billing.domain.charges import NOTHING, PRECISION, Attempt, Charge, Month, Owner, State, month_named
from billing.domain.counters import Counter, counter_named

_LAB = frozenset({"lab", "compare", "schedule", "judge"})

Tokens = Annotated[int, Meta(ge=0)]
Amount = Annotated[str, Meta(pattern=r"^[0-9]{1,20}(\.[0-9]{1,20})?\Z")]
"""US dollars as the contract writes them, but never less than nothing."""


class UsageRead(msgspec.Struct, gc=False):
    """What of `UsageCounts` is read."""

    input_tokens: Tokens
    cached_input_tokens: Tokens
    cache_write_5m_tokens: Tokens
    cache_write_1h_tokens: Tokens
    output_tokens: Tokens
    reasoning_tokens: Tokens
    audio_input_tokens: Tokens
    audio_output_tokens: Tokens
    units: dict[str, Tokens] = {}

    def read_tokens(self) -> int:
        """Tokens of all input buckets."""
        return (
            self.input_tokens
            + self.cached_input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.audio_input_tokens
        )

    def written_tokens(self) -> int:
        """Tokens of all output buckets."""
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens

    def buckets(self) -> dict[str, int]:
        """What was used of each bucket and unit, where anything was."""
        found: dict[str, int] = {}
        for name in _BUCKETS:
            if tokens := getattr(self, name):
                found[name] = tokens
        if self.units:
            found |= self.units
        return found


_BUCKETS = tuple(name for name in UsageRead.__struct_fields__ if name.endswith("_tokens"))


class AttemptRead(msgspec.Struct, gc=False):
    """What of `AttemptRecord` is read."""

    provider: str
    model: str
    usage: UsageRead | None
    cost_usd: Amount
    unbilled_usd: Amount = "0"
    credential: str = "system"
    service_tier: str | None = None


class PriceRead(msgspec.Struct, gc=False):
    """What of `PriceUsed` is read."""

    version: str


class CallRead(msgspec.Struct, gc=False):
    """What of `UsageRecorded` is read."""

    kind: State
    request_id: str
    api_key_id: str | None
    user_id: str | None
    team_id: str | None
    tier: str | None
    source: str
    provider_type: str
    model: str
    billable: bool
    status: str
    usage: UsageRead
    price: PriceRead
    cost_usd: Amount
    operator_cost_usd: Amount
    budgets: tuple[str, ...]
    period: str
    started_at: Annotated[datetime, Meta(tz=True)]
    attempts: tuple[AttemptRead, ...]
    simulated: bool
    credential: str = "system"
    epoch: str | None = None


class EventRead(msgspec.Struct, gc=False):
    """What of the envelope is read."""

    id: UUID
    type: str
    data: CallRead


_decode = msgspec.json.Decoder(EventRead).decode


class Reader:
    """Reads events; made for each batch, so that the months and counters which many of its events name are taken apart
    once."""

    def __init__(self) -> None:
        self._months: dict[str, Month] = {}
        self._counters: dict[str, Counter | None] = {}

    def charge(self, body: bytes) -> Charge:
        """The charge that an event's bytes tell of; ValueError when they break the contract or cannot be meant."""
        try:
            event = _decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from error
        if event.type != USAGE_RECORDED:
            raise ValueError("not an event of the type that billing knows")
        return self._charge(event.id, event.data)

    def _charge(self, event_id: UUID, call: CallRead) -> Charge:
        # A call made elsewhere counts in its user's budgets, although nobody owes us anything for it.
        is_billable, is_tracked = call.billable, call.status == "tracked"
        counts = is_billable or is_tracked
        cost, operator_cost, used = _dollars(call.cost_usd), _dollars(call.operator_cost_usd), call.usage
        return Charge(
            request_id=call.request_id,
            event_id=event_id,
            state=call.kind,
            owner=Owner(call.api_key_id, call.user_id),
            team_id=call.team_id,
            provider_type=call.provider_type,
            month=self._month(call.period),
            cost=cost if is_billable else NOTHING,
            operator_cost=operator_cost if is_billable else NOTHING,
            input_tokens=used.read_tokens(),
            output_tokens=used.written_tokens(),
            occurred_at=call.started_at,
            counted=cost if counts else NOTHING,
            attempts=_attempts(call, cost, operator_cost) if counts else (),
            is_simulated=call.simulated,
            budgets=self._budgets(call) if counts and not is_tracked else (),
            epoch=call.epoch,
            quota=_quota(call),
            is_billable=is_billable,
        )

    def _month(self, period: str) -> Month:
        found = self._months.get(period)
        if found is None:
            found = self._months[period] = month_named(period)
        return found

    def _budgets(self, call: CallRead) -> tuple[Counter, ...]:
        """The counters named; a bare `key:<id>`, as events named it before budgets had periods, means the UTC month."""
        known = self._counters
        found: list[Counter] = []
        for name in call.budgets:
            if name not in known:
                known[name] = counter_named(name)
            counter = known[name] or counter_named(counter_name(name, call.period))
            if counter is not None:
                found.append(counter)
        return tuple(found)


def _dollars(amount: str) -> Decimal:
    return NOTHING if amount == "0" else Decimal(amount)


def _attempts(call: CallRead, cost: Decimal, operator_cost: Decimal) -> tuple[Attempt, ...]:
    """The attempts, which sum to what the call cost: what they leave open is the last one's, which answered."""
    told, version = call.attempts, call.price.version
    if call.status == "cached":  # nobody was asked, so nothing was used that any price is for
        return (Attempt(call.provider_type, call.model, cost, operator_cost),)
    if not told:
        return (Attempt(call.provider_type, call.model, cost, operator_cost, call.usage.buckets(), version),)
    failed: list[Attempt] = []
    if len(told) > 1:
        with localcontext() as context:
            context.prec = PRECISION
            for one in told[:-1]:
                is_counted = one.credential == call.credential  # the call's cost is that of these attempts
                its_cost = _dollars(one.cost_usd) if is_counted else NOTHING
                attempt = _attempt(one, its_cost, _dollars(one.unbilled_usd), None)
                cost, operator_cost = cost - attempt.cost, operator_cost - attempt.operator_cost
                failed.append(attempt)
    return (*failed, _attempt(told[-1], cost, operator_cost, version))


def _attempt(told: AttemptRead, cost: Decimal, operator_cost: Decimal, version: str | None) -> Attempt:
    used = told.usage.buckets() if told.usage is not None else {}
    return Attempt(told.provider, told.model, cost, operator_cost, used, version, told.service_tier)


def _quota(call: CallRead) -> str | None:
    """Whose quota the call used: those of keys that carry a tier count, and those of the lab; not what was tracked."""
    counts = call.source in _LAB or (call.source == "api" and call.tier is not None)
    return quota_scope(call.api_key_id or "", call.user_id) if counts and (call.api_key_id or call.user_id) else None
