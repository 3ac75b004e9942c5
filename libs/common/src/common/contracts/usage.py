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
    """Input tokens that were neither cached nor written to a cache."""
    cached_input_tokens: NonNegativeInt
    """Input tokens that the provider read from its cache."""
    cache_write_5m_tokens: NonNegativeInt
    """Input tokens that the provider wrote to a cache of five minutes."""
    cache_write_1h_tokens: NonNegativeInt
    """Input tokens that the provider wrote to a cache of an hour."""
    output_tokens: NonNegativeInt
    """Output tokens without reasoning and audio."""
    reasoning_tokens: NonNegativeInt
    """Output tokens that the model thought with."""
    audio_input_tokens: NonNegativeInt
    """Input tokens of sound."""
    audio_output_tokens: NonNegativeInt
    """Output tokens of sound."""
    total_tokens: NonNegativeInt
    """The sum of all buckets."""
    units: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """What is counted otherwise, by name: images, requests, characters."""
    estimated: bool
    """Whether this is our own estimate and not the provider's report."""
    anomalous: bool = False
    """Whether the provider's report contradicts itself, so that some of it was clamped."""

    def to_usage(self) -> Usage:
        """The same as the record that pricing takes."""
        buckets = {name: getattr(self, name) for name in TOKEN_BUCKETS}
        return Usage(**buckets, units=self.units, estimated=self.estimated, anomalous=self.anomalous)


class PriceUsed(Contract):
    """Which dated price the cost was computed at; `is_fallback` when the model had none."""

    version: str
    """Which dated price."""
    rates: dict[str, Money]
    """US dollars per million tokens of a bucket, or per one of a unit."""
    is_fallback: bool
    """Whether the model had no price of its own."""


class CallError(Contract):
    """Why a call did not complete: a stable reason, and words without any secret."""

    reason: str
    """A stable word for programs."""
    message: str = Field(max_length=512)
    """Words for people."""


class AttemptRecord(Contract):
    """One call of one deployment."""

    provider: str
    """The provider's type."""
    provider_id: str | None = None
    """Which of its instances."""
    model: str
    """The model, as the provider was asked for it."""
    status: Literal["completed", "failed", "cancelled"]
    """How it ended."""
    http_status: int | None
    """The provider's status; null: none came."""
    error: CallError | None = None
    """Why it failed."""
    latency_ms: NonNegativeInt
    """Milliseconds until it ended."""
    usage: UsageCounts | None
    """What it used; null: nobody knows."""
    cost_usd: Money
    """US dollars that the caller owes for it."""
    unbilled_usd: Money = Money.of(0)
    """US dollars that it may have cost beyond that; the operator's."""
    credential: Literal["system", "byok"] = "system"
    """Whose credential it was called with: the system's or the user's own."""
    credential_id: str | None = None
    """Which credential; null: not told."""
    service_tier: str | None = None
    """The service tier that the provider says it was served in, whose rates it was priced at; null: not told."""


class BudgetSeen(Contract):
    """A further budget that the call counted in, as it stood right before."""

    counter: str
    """Its counter, as in `budgets`."""
    limit_usd: Money | None
    """US dollars that it allows; null: it only counts."""
    spent_usd: Money
    """US dollars that were spent."""
    held_usd: Money
    """US dollars that were held for other calls."""


class Decision(Contract):
    """Why the call was let through: what was held for it and what its limits had left."""

    bound_usd: Money
    """US dollars that were held: the most that the call could cost."""
    budget_usd: Money | None
    """The key's budget for the period; null: none."""
    spent_before_usd: Money | None
    """US dollars of it that were spent or held before."""
    rate_limit: int | None
    """Requests a minute of the limit (key's, user's or team's) that had the least left; null: unlimited."""
    rate_remaining: int | None
    """How many of them were left."""
    budgets: tuple[BudgetSeen, ...] = ()
    """The budgets beyond the key's own monthly one."""


class UsageRecorded(Contract):
    """What one call used and cost. `cost_usd` is what the caller owes; `operator_cost_usd` what nobody can be
    charged for (failed attempts without a usage report, overrun beyond what was held)."""

    kind: UsageKind
    """`final`: its gateway says so; `estimated`: its gateway was lost, and a `final` may still follow."""
    request_id: str
    """The call, as its client saw it in `x-request-id`."""
    trace_id: str | None
    """The W3C trace id that the client sent."""
    api_key_id: str | None
    """The virtual key; null: a signed-in user called without one."""
    user_id: str | None
    """Whose call it was."""
    team_id: str | None
    """The team that the key belongs to."""
    tier: str | None
    """The caller's tier."""
    source: Source
    """What made the call."""
    operation: str
    """What was asked for: `chat` (at whichever door), `completions`, `embeddings`, `rerank`, `compaction` …"""
    requested_model: str
    """The model, as the client named it."""
    alias: str | None
    """The alias, when that name is one."""
    provider_type: str
    """The provider of the last attempt."""
    provider_id: str | None
    """Which of its instances."""
    model: str
    """The model of the last attempt, as the provider was asked for it."""
    credential: Literal["system", "byok"]
    """Whose credential was used: the system's or the user's own."""
    credential_id: str | None
    """Which credential."""
    billable: bool
    """Whether the caller owes us the cost."""
    streamed: bool
    """Whether the client asked for a stream."""
    status: Status
    """How the call ended."""
    http_status: int
    """The status that the client got; 499: it hung up."""
    error: CallError | None
    """Why the call did not complete."""
    finish_reason: str | None
    """Why the model stopped, in its provider's words."""
    usage: UsageCounts
    """What the last attempt used."""
    raw_usage: dict[str, Any] | None
    """The provider's own report, as it came."""
    price: PriceUsed
    """The price of the last attempt."""
    cost_usd: Money
    """US dollars that the caller owes: the sum over the attempts."""
    operator_cost_usd: Money
    """US dollars that nobody can be charged for: the sum over the attempts."""
    budgets: tuple[str, ...]
    """The counters that settlement adds the cost to, `<scope>:<period>`: `key:k1:2026-11`, `user:u1:2026-W47`."""
    epoch: str | None = None
    """The epoch of Redis in which the cost was held; null: not known. Of an older one than now, billing counts it."""
    period: str
    """The UTC month that it was counted in: `2026-11`."""
    started_at: str
    """When the call came in, in UTC."""
    latency_ms: NonNegativeInt
    """Milliseconds until the answer was complete."""
    ttft_ms: NonNegativeInt | None
    """Milliseconds until the first byte of a stream."""
    attempts: tuple[AttemptRecord, ...]
    """Every deployment that was tried, in order."""
    cache: Literal["off", "miss", "hit"]
    """Whether the answer came from our own cache."""
    dropped_params: tuple[str, ...]
    """Parameters that the provider does not know and that were left out."""
    decision: Decision | None
    """Why the call was let through."""
    simulated: bool
    """Whether the simulator answered in the provider's place."""
    tags: dict[str, str]
    """What the client said of the call."""
    content_ref: str | None
    """Where prompt and answer are kept."""


class UsageRejected(Contract):
    """A call that was refused before any provider was asked. Sampled under attack: `sampled_one_in` says how much."""

    request_id: str
    """The call, as its client saw it in `x-request-id`."""
    api_key_id: str | None
    """The virtual key; null: not known."""
    reason: str
    """A stable word for why."""
    http_status: int
    """The status that the client got."""
    requested_model: str | None
    """The model, as the client named it."""
    sampled_one_in: int = 1
    """How many refusals this one stands for."""


def recorded_subject(provider_type: str, api_key_id: str | None) -> str:
    """`usage.recorded.<provider_type>.<api_key_id or none>`"""
    return f"usage.recorded.{provider_type}.{api_key_id or 'none'}"


def rejected_subject(reason: str) -> str:
    """`usage.rejected.<reason>`"""
    return f"usage.rejected.{reason}"
