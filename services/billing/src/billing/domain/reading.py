"""How a usage event is read for the books: which of its members matter here, and what is refused.

Whatever is refused is a ValueError: no retry cures it, so the consumer sends the event to the DLQ.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from uuid import UUID

from common.budgets import quota_scope
from common.contracts.envelope import Envelope
from common.contracts.usage import USAGE_RECORDED, AttemptRecord, UsageCounts, UsageRecorded
from common.money import Money
from common.periods import counter_name
from common.usage import TOKEN_BUCKETS

from billing.domain.charges import PRECISION, Attempt, Charge, Owner, month_named
from billing.domain.counters import Counter, counter_named

_NOTHING = Decimal(0)
_BUCKETS = frozenset(TOKEN_BUCKETS)
_LAB = frozenset({"lab", "compare", "schedule", "judge"})


def charge_of(event: Envelope[UsageRecorded]) -> Charge:
    """The charge that an event tells of; ValueError when it cannot be meant."""
    if event.type != USAGE_RECORDED:
        raise ValueError("not an event of the type that billing knows")
    call = event.data
    # A call made elsewhere counts in its user's budgets, although nobody owes us anything for it.
    counts = call.billable or call.status == "tracked"
    cost, operator_cost = _amount(call.cost_usd), _amount(call.operator_cost_usd)
    used = call.usage
    return Charge(
        request_id=call.request_id,
        event_id=UUID(event.id),
        state=call.kind,
        owner=Owner(call.api_key_id, call.user_id),
        team_id=call.team_id,
        provider_type=call.provider_type,
        month=month_named(call.period),
        cost=cost if call.billable else _NOTHING,
        operator_cost=operator_cost if call.billable else _NOTHING,
        input_tokens=used.input_tokens
        + used.cached_input_tokens
        + used.cache_write_5m_tokens
        + used.cache_write_1h_tokens
        + used.audio_input_tokens,
        output_tokens=used.output_tokens + used.reasoning_tokens + used.audio_output_tokens,
        occurred_at=_instant(call.started_at),
        counted=cost if counts else _NOTHING,
        attempts=_attempts(call, cost, operator_cost) if counts else (),
        is_simulated=call.simulated,
        budgets=_budgets(call) if counts and call.status != "tracked" else (),
        epoch=call.epoch,
        quota=_quota(call),
    )


def _amount(amount: Money) -> Decimal:
    if amount.usd < 0:
        raise ValueError("a call cannot cost less than nothing")
    return amount.usd


def _attempts(call: UsageRecorded, cost: Decimal, operator_cost: Decimal) -> tuple[Attempt, ...]:
    """The attempts, which sum to what the call cost: what they leave open is the last one's, which answered."""
    told = [_attempt(record) for record in call.attempts]
    if not told:
        return (Attempt(call.provider_type, call.model, cost, operator_cost, _buckets(call.usage), call.price.version),)
    if len(told) > 1:
        with localcontext() as context:
            context.prec = PRECISION
            for attempt in told[:-1]:
                cost, operator_cost = cost - attempt.cost, operator_cost - attempt.operator_cost
    told[-1] = told[-1]._replace(cost=cost, operator_cost=operator_cost, price_version=call.price.version)
    return tuple(told)


def _attempt(record: AttemptRecord) -> Attempt:
    used = _buckets(record.usage) if record.usage is not None else {}
    return Attempt(record.provider, record.model, _amount(record.cost_usd), _amount(record.unbilled_usd), used)


def _buckets(usage: UsageCounts) -> Mapping[str, int]:
    found = {name: tokens for name, tokens in usage.__dict__.items() if tokens and name in _BUCKETS}
    return {**found, **usage.units} if usage.units else found


def _quota(call: UsageRecorded) -> str | None:
    """Whose quota the call used: those of keys that carry a tier count, and those of the lab; not what was tracked."""
    counts = call.source in _LAB or (call.source == "api" and call.tier is not None)
    return quota_scope(call.api_key_id or "", call.user_id) if counts and (call.api_key_id or call.user_id) else None


def _budgets(call: UsageRecorded) -> tuple[Counter, ...]:
    """The counters named; a bare `key:<id>`, as events named it before budgets had periods, means the UTC month."""
    named = (counter_named(name) or counter_named(counter_name(name, call.period)) for name in call.budgets)
    return tuple(counter for counter in named if counter is not None)


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("started_at names no time zone")
    return at
