"""Which settlements are to be made again once a reaper has told of a call as well as its own gateway. Pure.

Either of the two may have settled last. When the gateway died between telling and settling, what stands in `cost:` is the
estimate, for good; asking for the settlement by the final mends that, and changes nothing where it was made.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.contracts.resettlements import Resettlement
from common.money import nano_ceiling
from common.usage import TOKEN_BUCKETS

from billing.domain.charges import Charge
from billing.domain.counting import amount_in


def resettlements_of(final: Charge, epoch: str | None) -> list[Resettlement]:
    """One for each attempt of a final charge that stands; nothing where it counts in no counter. `epoch` is the present
    one. What billing counts itself, since the hold was lost with an older epoch, is to be counted in none."""
    if not final.settled:
        return []
    is_settled = all(amount == amount_in(counter.scope, final) for counter, amount in final.settled.items())
    return [
        Resettlement(
            request_id=final.request_id,
            attempt=number,
            cost_nano=nano_ceiling(attempt.cost),
            tokens=_tokens(attempt.usage),
            epoch=(epoch or "") if is_settled else "",
        )
        for number, attempt in enumerate(final.attempts, 1)
    ]


def _tokens(usage: Mapping[str, int]) -> int:
    return sum(usage.get(bucket, 0) for bucket in TOKEN_BUCKETS)
