"""What Redis is to know of a call that a reaper told of: in which counters its last attempt counts, and how much. Pure.

The gateway whose call it is may come back for a day. It finds this mark, holds only what there is room for, and adds to
the counters only what its final event says beyond it. Redis loses the mark with everything else; the books have it.
"""

from __future__ import annotations

from typing import NamedTuple

from common.budgets import attempt_scopes, is_attempt_scope
from common.contracts.topology import counter_suffix
from common.money import nano_ceiling

from billing.domain.charges import Charge
from billing.domain.counting import amount_in


class Mark(NamedTuple):
    """An attempt that was reaped, what of its cost stands in `cost:`, and in which counters, by the end of their keys."""

    request_id: str
    attempt: int
    cost_nano: int
    suffixes: tuple[str, ...]


def mark_of(estimate: Charge) -> Mark | None:
    """The mark of the attempt that was reaped, the last that its event tells of; None where it counts in no counter. What
    billing counts itself, since the hold was lost with an older epoch, stands in none of them."""
    if not estimate.settled or not estimate.attempts:
        return None
    last = estimate.attempts[-1]
    its_scopes = attempt_scopes(estimate.owner.user_id, last.provider_type, last.model)
    counters = [one for one in estimate.settled if not is_attempt_scope(one.scope) or one.scope in its_scopes]
    is_settled = all(amount == amount_in(counter.scope, estimate) for counter, amount in estimate.settled.items())
    return Mark(
        estimate.request_id,
        len(estimate.attempts),
        nano_ceiling(last.cost) if is_settled else 0,
        tuple(counter_suffix(*counter) for counter in counters),
    )
