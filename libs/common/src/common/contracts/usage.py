"""`usage.recorded` and `usage.rejected`: what the gateway says of every call.

One `UsageRecorded` per call, whatever its end; its `attempts` carry what each deployment used and cost. The gateway
builds it as plain JSON on its hot path; these models are what that JSON must be, and consumers read it through them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from common.contracts.envelope import Contract, type_of
from common.ids import UsageKind
from common.money import Money
from common.usage import TOKEN_BUCKETS, Usage

USAGE_RECORDED = type_of("usage.recorded")
USAGE_REJECTED = type_of("usage.rejected")

Source = Literal["api", "lab", "compare", "benchmark", "schedule", "judge", "track"]
Status = Literal["completed", "failed", "cancelled", "cached", "tracked"]


class UsageCounts(Contract):
    """Disjoint token buckets (`common.usage`), their sum, and other units."""

    input_tokens: NonNegativeInt
    cached_input_tokens: NonNegativeInt
    cache_write_5m_tokens: NonNegativeInt
    cache_write_1h_tokens: NonNegativeInt
    output_tokens: NonNegativeInt
    reasoning_tokens: NonNegativeInt
    audio_input_tokens: NonNegativeInt
    audio_output_tokens: NonNegativeInt
    total_tokens: NonNegativeInt
    units: dict[str, NonNegativeInt] = Field(default_factory=dict)
    estimated: bool

    def to_usage(self) -> Usage:
        """The same as the record that pricing takes."""
        buckets = {name: getattr(self, name) for name in TOKEN_BUCKETS}
        return Usage(**buckets, units=self.units, estimated=self.estimated)


class PriceUsed(Contract):
    """Which dated price the cost was computed at; `is_fallback` when the model had none."""

    version: str
    rates: dict[str, Money]
    is_fallback: bool


class CallError(Contract):
    """Why a call did not complete: a stable reason, and words without any secret."""

    reason: str
    message: str = Field(max_length=512)


class AttemptRecord(Contract):
    """One call of one deployment."""

    provider: str
    model: str
    status: Literal["completed", "failed", "cancelled"]
    http_status: int | None
    error: CallError | None = None
    latency_ms: NonNegativeInt
    usage: UsageCounts | None
    cost_usd: Money
    unbilled_usd: Money = Money.of(0)


class Decision(Contract):
    """Why the call was let through: what was held for it and what its limits had left."""

    bound_usd: Money
    budget_usd: Money | None
    spent_before_usd: Money | None
    rate_limit: int | None
    rate_remaining: int | None


class UsageRecorded(Contract):
    """What one call used and cost. `cost_usd` is what the caller owes; `operator_cost_usd` what nobody can be
    charged for (failed attempts without a usage report, overrun beyond what was held)."""

    kind: UsageKind
    request_id: str
    trace_id: str | None
    api_key_id: str | None
    user_id: str | None
    team_id: str | None
    tier: str | None
    source: Source
    operation: str
    requested_model: str
    alias: str | None
    provider_type: str
    provider_id: str | None
    model: str
    credential: Literal["system", "byok"]
    credential_id: str | None
    billable: bool
    streamed: bool
    status: Status
    http_status: int
    error: CallError | None
    finish_reason: str | None
    usage: UsageCounts
    raw_usage: dict[str, Any] | None
    price: PriceUsed
    cost_usd: Money
    operator_cost_usd: Money
    budgets: tuple[str, ...]
    period: str
    started_at: str
    latency_ms: NonNegativeInt
    ttft_ms: NonNegativeInt | None
    attempts: tuple[AttemptRecord, ...]
    cache: Literal["off", "miss", "hit"]
    dropped_params: tuple[str, ...]
    decision: Decision | None
    simulated: bool
    tags: dict[str, str]
    content_ref: str | None


class UsageRejected(Contract):
    """A call that was refused before any provider was asked. Sampled under attack: `sampled_one_in` says how much."""

    request_id: str
    api_key_id: str | None
    reason: str
    http_status: int
    requested_model: str | None
    sampled_one_in: int = 1


def recorded_subject(provider_type: str, api_key_id: str | None) -> str:
    """`usage.recorded.<provider_type>.<api_key_id or none>`"""
    return f"usage.recorded.{provider_type}.{api_key_id or 'none'}"


def rejected_subject(reason: str) -> str:
    """`usage.rejected.<reason>`"""
    return f"usage.rejected.{reason}"
