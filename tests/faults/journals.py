"""What the three journals say, as plain records: the provider's, the clients', the system's. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

Phase = tuple[float, float]
"""From when to when something was so."""


@dataclass(frozen=True)
class KeyTerms:
    """A virtual key of a round; `budget_nano` None: none. `revoked_at`: when its revocation had been answered."""

    id: str
    secret: str
    budget_nano: int | None = None
    revoked_at: float | None = None


@dataclass
class ClientCall:
    """What one client saw of its call."""

    number: int
    key_id: str
    gateway: str
    marker: str
    """A word of this call alone, which the provider puts into every part of its answer."""
    streamed: bool
    wanted_tokens: int
    began_at: float
    ended_at: float = 0.0
    status: int = 0
    """0: no answer at all."""
    request_id: str | None = None
    is_complete: bool = False
    hung_up: bool = False
    chunks: int = 0
    """Content chunks that arrived."""
    markers: set[str] = field(default_factory=set)
    retry_after: str | None = None
    reason: str | None = None
    least: tuple[int, int] = (0, 0)
    """Input and output tokens that it has to be let in for: its bytes and what a model is told besides; its maximum, or
    one where it names none."""


@dataclass(frozen=True)
class ProviderCall:
    """What the provider has of a call."""

    request_id: str
    started_at: float
    status: int
    is_ended: bool
    is_complete: bool
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Event:
    """One message of stream USAGE that tells of a call."""

    sequence: int
    stored_at: float
    event_id: str
    kind: str
    request_id: str
    key_id: str
    status: str
    input_tokens: int
    output_tokens: int
    is_estimated: bool
    input_price: Decimal
    output_price: Decimal
    is_fallback: bool
    cost: Decimal
    operator_cost: Decimal
    period: str
    bound_nano: int | None


@dataclass(frozen=True)
class Line:
    """One line of the ledger."""

    transaction: str
    account: str
    amount: Decimal
    request_id: str
    month: str


@dataclass(frozen=True)
class Sample:
    """The counters of one budget at one moment; None where Redis did not answer. `is_open`: the epoch is there."""

    at: float
    key_id: str
    spent: int
    held: int
    limit: int
    is_open: bool


@dataclass(frozen=True)
class Counters:
    """What Redis counts for a key once everything is over."""

    spent: int
    held: int


@dataclass(frozen=True)
class Disturbance:
    """What the nemesis did, and until when it lasted. `parts`: whom it hit."""

    what: str
    parts: frozenset[str]
    began_at: float
    ended_at: float

    @property
    def phase(self) -> Phase:
        return self.began_at, self.ended_at


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of one round, once it is over."""

    keys: Mapping[str, KeyTerms]
    calls: Sequence[ClientCall]
    provider: Sequence[ProviderCall]
    events: Sequence[Event]
    sequences: Sequence[int]
    """Every sequence of the stream that exists, from the round's first to the last."""
    lines: Sequence[Line]
    booked: frozenset[str]
    """Event ids that billing has booked."""
    dead: frozenset[str]
    """Event ids that went to the DLQ."""
    counters: Mapping[str, Counters]
    open_holds: Sequence[str]
    samples: Sequence[Sample]
    disturbances: Sequence[Disturbance]
    month: str
    drained: bool = True
    """Whether everything came to rest in time."""
    rebuilt: Mapping[tuple[str, str], Decimal] | None = None
    """Amount by request and account of a ledger made anew from the stream."""
