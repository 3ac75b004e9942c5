"""How a usage event is read for the books: which of its members matter here, and what is refused.

Whatever is refused is a ValueError: no retry cures it, so the consumer sends the event to the DLQ.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from common.contracts.envelope import Envelope
from common.contracts.usage import USAGE_RECORDED, UsageRecorded
from common.money import Money

from billing.domain.ledger import Charge, Owner, month_named

_NOTHING = Decimal(0)


def charge_of(event: Envelope[UsageRecorded]) -> Charge:
    """The charge that an event tells of; ValueError when it cannot be meant."""
    if event.type != USAGE_RECORDED:
        raise ValueError("not an event of the type that billing knows")
    call = event.data
    return Charge(
        request_id=call.request_id,
        event_id=UUID(event.id),
        state=call.kind,
        owner=Owner(call.api_key_id, call.user_id),
        team_id=call.team_id,
        provider_type=call.provider_type,
        month=month_named(call.period),
        cost=_booked(call.cost_usd, billable=call.billable),
        operator_cost=_booked(call.operator_cost_usd, billable=call.billable),
        input_tokens=_prompt_tokens(call),
        output_tokens=_completion_tokens(call),
        occurred_at=_instant(call.started_at),
    )


def _booked(amount: Money, *, billable: bool) -> Decimal:
    """What is booked of an amount: all, or nothing where the provider bills the caller itself."""
    if amount.usd < 0:
        raise ValueError("a call cannot cost less than nothing")
    return amount.usd if billable else _NOTHING


def _prompt_tokens(call: UsageRecorded) -> int:
    used = call.usage
    written = used.cache_write_5m_tokens + used.cache_write_1h_tokens
    return used.input_tokens + used.cached_input_tokens + written + used.audio_input_tokens


def _completion_tokens(call: UsageRecorded) -> int:
    return call.usage.output_tokens + call.usage.reasoning_tokens + call.usage.audio_output_tokens


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("started_at names no time zone")
    return at
