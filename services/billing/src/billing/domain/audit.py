"""What an audit of the books found: figures that are all zero or empty when the books are right."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from billing.domain.charges import Month
from billing.domain.counters import Counter


@dataclass(frozen=True, slots=True)
class MonthOff:
    """A key and month whose ledger lines and monthly rows disagree."""

    api_key_id: str | None
    month: Month
    booked: Decimal
    counted: Decimal


@dataclass(frozen=True, slots=True)
class Adrift:
    """A counter whose `cost:` in Redis is ahead of the books by so many nano-USD (negative: behind), and stays so."""

    counter: Counter
    nano: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong; lists hold at most a few examples, the counts are whole."""

    ledger_total: Decimal
    unbalanced_count: int
    months_off_count: int
    counters_off_count: int = 0
    days_off_count: int = 0
    statements_off_count: int = 0
    unbalanced: list[UUID] = field(default_factory=list)
    months_off: list[MonthOff] = field(default_factory=list)

    @property
    def violations(self) -> dict[str, int]:
        """How many violations of each rule there are."""
        return {
            "transaction_sums_to_zero": self.unbalanced_count,
            "ledger_sums_to_zero": int(self.ledger_total != 0),
            "month_equals_ledger": self.months_off_count,
            "counter_equals_charges": self.counters_off_count,
            "provider_days_equal_ledger": self.days_off_count,
            "statement_equals_ledger": self.statements_off_count,
        }


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far the consumer of usage events is behind: events not delivered yet, and delivered but not acknowledged."""

    pending: int
    unacknowledged: int

    @property
    def is_empty(self) -> bool:
        """Everything that was published has been booked."""
        return self.pending == 0 and self.unacknowledged == 0
