"""What re-ratings changed of calls, and what that adds to which rollup. Pure.

The log keeps what a call's event told; its rollup follows the ledger. A correction is a difference, so corrections may come
in any order; each counts once, by its call and re-rating.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from common.contracts.billing import CALLS_RERATED, CallsRerated
from common.contracts.envelope import Envelope

from analytics.domain.rollups import Counted, Measures, RollupKey


class Correction(NamedTuple):
    """By how many US dollars a call costs more than before (negative: less), and by which re-rating."""

    request_id: str
    rerating_id: str
    cost: Decimal
    operator_cost: Decimal


def corrections_of(event: Envelope[CallsRerated]) -> list[Correction]:
    """What an event tells; ValueError when it cannot be meant."""
    if event.type != CALLS_RERATED:
        raise ValueError("not an event of a type that analytics knows")
    told = event.data
    return [
        Correction(one.request_id, told.rerating_id, one.cost_change_usd.usd, one.operator_cost_change_usd.usd)
        for one in told.calls
    ]


def corrected(corrections: Iterable[Correction], rollup_of: Mapping[str, RollupKey]) -> Iterator[Counted]:
    """What corrections add to the rollups of their calls; one whose call has none yet adds nothing."""
    for one in corrections:
        key = rollup_of.get(one.request_id)
        if key is not None:
            yield key, Measures(cost=one.cost, operator_cost=one.operator_cost)
