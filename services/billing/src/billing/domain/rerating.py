"""Re-rating: what calls that were billed would have cost at the prices that the catalog has for their time by now. Pure.

A price is never edited: who finds that one was wrong adds another dated row to the catalog, from the same instant on. What
was booked meanwhile is brought to it by a re-rating: every final charge of some days is priced anew with the function and
the rule that the gateway prices by, and what differs is booked as corrections.

Left as they are: estimates (their final may still come), attempts that used nothing that anybody reported, attempts whose
model has no price now, calls that nobody owes us anything for. Of an attempt that cost more than was held for it the caller
still owes no more than before: the rest is the operator's, at any price.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from common.ids import derived_id
from common.pricing import Price, cost
from common.usage import TOKEN_BUCKETS, Usage
from msgspec.structs import replace

from billing.domain.charges import KEYLESS, NOTHING, PRECISION, UNBILLED, Attempt, Change, Charge

PriceAt = Callable[[str, str, datetime], Price | None]
"""The price that a provider type's model has at an instant; None: it has none, or is not asked for."""

_BUCKETS = frozenset(TOKEN_BUCKETS)


class Place(NamedTuple):
    """Where a re-rating changes something: an account, a provider's model, a UTC day."""

    account: str
    provider_type: str
    model: str
    day: date


@dataclass(frozen=True, slots=True)
class Difference:
    """What a re-rating changes at a place: attempts, and US dollars before and after."""

    attempts: int
    before: Decimal
    after: Decimal

    def plus(self, before: Decimal, after: Decimal) -> Difference:
        """With one more attempt."""
        return Difference(self.attempts + 1, self.before + before, self.after + after)


@dataclass(slots=True)
class Tallied:
    """What a re-rating comes to, added up as it goes. `digest` tells it from any other."""

    seen: int = 0
    calls: int = 0
    unpriced: int = 0
    places: dict[Place, Difference] = field(default_factory=dict)
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, changes: Iterable[Change]) -> None:
        """Add changes of charges, in the order of their requests."""
        with localcontext() as context:
            context.prec = PRECISION
            for before, after in changes:
                if before is None:
                    continue
                self.calls += 1
                self.digest.update(
                    f"{after.request_id}\0{after.cost}\0{after.operator_cost}\0{after.attempts}\n".encode()
                )
                for place, was, becomes in _moved(before, after):
                    self.places[place] = self.places.get(place, _NO_DIFFERENCE).plus(was, becomes)

    @property
    def id(self) -> str:
        """The same for the same changes, whoever asks."""
        return derived_id("rerating", self.digest.hexdigest())

    def total(self) -> Difference:
        """All of it."""
        found = [*self.places.values()]
        with localcontext() as context:
            context.prec = PRECISION
            return Difference(
                sum(one.attempts for one in found),
                sum((one.before for one in found), NOTHING),
                sum((one.after for one in found), NOTHING),
            )


_NO_DIFFERENCE = Difference(0, NOTHING, NOTHING)


def rerated(charge: Charge, price_at: PriceAt) -> tuple[Charge, int]:
    """A final charge as it would stand, the same one where nothing changes; and how many of its attempts have no price."""
    prices = [
        price_at(one.provider_type, one.model, charge.occurred_at) if one.usage else None for one in charge.attempts
    ]
    unpriced = sum(bool(one.usage) and price is None for one, price in zip(charge.attempts, prices, strict=True))
    with localcontext() as context:
        context.prec = PRECISION
        attempts = tuple(
            _priced(one, price) if price else one for one, price in zip(charge.attempts, prices, strict=True)
        )
        if all(one is was for one, was in zip(attempts, charge.attempts, strict=True)):
            return charge, unpriced
        owed = sum((one.cost for one in attempts), NOTHING)
        unbilled = sum((one.operator_cost for one in attempts), NOTHING)
    return replace(charge, cost=owed, counted=owed, operator_cost=unbilled, attempts=attempts), unpriced


def _priced(attempt: Attempt, price: Price) -> Attempt:
    """An attempt at another price; itself where that comes to the same."""
    if price.version == attempt.price_version:
        return attempt
    total = cost(_usage(attempt), price, attempt.service_tier)
    owed, unbilled = total, NOTHING
    if attempt.operator_cost:
        owed = min(total, attempt.cost)
        unbilled = total - owed
    if (owed, unbilled) == (attempt.cost, attempt.operator_cost):
        return attempt
    return replace(attempt, cost=owed, operator_cost=unbilled, price_version=price.version)


def _usage(attempt: Attempt) -> Usage:
    buckets: dict[str, Any] = {name: used for name, used in attempt.usage.items() if name in _BUCKETS}
    return Usage(**buckets, units={name: used for name, used in attempt.usage.items() if name not in _BUCKETS})


def _moved(before: Charge, after: Charge) -> Iterable[tuple[Place, Decimal, Decimal]]:
    day = after.occurred_at.astimezone(UTC).date()
    account = f"customer:{after.owner.api_key_id or KEYLESS}"
    for was, becomes in zip(before.attempts, after.attempts, strict=True):
        if was.cost != becomes.cost:
            yield Place(account, was.provider_type, was.model, day), was.cost, becomes.cost
        if was.operator_cost != becomes.operator_cost:
            place = Place(UNBILLED, was.provider_type, was.model, day)
            yield place, was.operator_cost, becomes.operator_cost
