"""What an attempt costs whom. Pure.

The caller owes what the provider reported, priced at the row in force when the call began, and never more than was held
for it: what a provider counts beyond the bound is the operator's, as is what a failed attempt may have cost unreported.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from common.money import NANO, nano_ceiling
from common.pricing import cost
from common.usage import NOTHING, Usage

from gateway.leases import Settlement
from gateway.limits.limiter import Admitted
from gateway.metering import AttemptLog
from gateway.mirrors.keys import ApiKey

_LIKELY_BYTES_PER_TOKEN = 4
_MAX_RAW_USAGE_BYTES = 8_192


def charge(attempt: AttemptLog) -> None:
    """Put down what the caller owes for an attempt's usage, and what lies beyond its hold."""
    assert attempt.usage is not None
    if attempt.raw_usage is not None and len(msgspec.json.encode(attempt.raw_usage)) > _MAX_RAW_USAGE_BYTES:
        attempt.raw_usage = None
    attempt.cost = cost(attempt.usage, attempt.price, attempt.service_tier)
    cap(attempt, attempt.held_nano)


def cap(attempt: AttemptLog, covered_nano: int) -> None:
    """What an attempt cost beyond what is covered by holds becomes the operator's, and is an overrun. What a
    user's own credential cost is owed to its provider: told, and never held."""
    if not attempt.is_own and nano_ceiling(attempt.cost) > covered_nano:
        covered = Decimal(covered_nano) / NANO
        attempt.overrun += attempt.cost - covered
        attempt.operator_cost += attempt.cost - covered
        attempt.cost = covered


def charge_operator(attempt: AttemptLog, usage: Usage) -> None:
    """Put down what an attempt without a report may have cost; the caller owes nothing for it."""
    if not attempt.is_own:
        attempt.operator_cost = cost(usage, attempt.price)


def epoch_of(attempts: Sequence[AttemptLog]) -> str:
    """The epoch that a call's event names: that of the first hold that became a cost, else of the last. Settlements of
    another epoch add nothing, and billing counts the whole event."""
    return next((attempt.epoch for attempt in attempts if attempt.cost and not attempt.is_own), attempts[-1].epoch)


def settlement_of(request_id: str, attempt: AttemptLog, epoch: str) -> Settlement:
    """What an attempt's hold is to become."""
    tokens = (attempt.usage or NOTHING).total_tokens
    owed_nano = 0 if attempt.is_own else nano_ceiling(attempt.cost)
    return Settlement(request_id, attempt.number, owed_nano, tokens, epoch)


def likely_tokens(text_bytes: int) -> int:
    """Tokens of a text, where nobody has counted them."""
    return -(-text_bytes // _LIKELY_BYTES_PER_TOKEN)


def decision_of(key: ApiKey, admitted: Admitted) -> dict[str, Any]:
    """Why a call was let through, for its event; the budgets beyond its key's own monthly one each by itself."""
    has_budget = key.budget_nano >= 0
    counters = admitted.counters
    return {
        "bound_usd": _dollars(admitted.held_nano),
        "budget_usd": _dollars(key.budget_nano) if has_budget else None,
        "spent_before_usd": _dollars(admitted.counted[0][0]) if has_budget else None,
        "rate_limit": admitted.rate_limit or None,
        "rate_remaining": admitted.rate_remaining if admitted.rate_limit else None,
        "budgets": [
            {
                "counter": name,
                "limit_usd": _dollars(rule.limit_nano) if rule is not None else None,
                "spent_usd": _dollars(spent),
                "held_usd": _dollars(held),
            }
            for name, rule, (spent, held) in zip(
                counters.names[1:], counters.rules[1:], admitted.counted[1:], strict=True
            )
        ],
    }


def _dollars(nano: int) -> str:
    if nano < 0:
        return f"-{_dollars(-nano)}"
    whole, part = divmod(nano, NANO)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")
