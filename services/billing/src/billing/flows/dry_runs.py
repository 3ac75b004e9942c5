"""Dry runs: would this call be let through now, by which rule, and what could it cost at most.

The rule and the bound are the gateway's own (`common.budgets`, `common.bounds`), over the same counters in Redis; what a
gateway may answer a moment later depends on what was called in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from common.bounds import bound, default_output, input_bound
from common.budgets import Budget, Standing, attempt_scopes, call_scopes, monthly_budget, verdict
from common.clock import Clock
from common.contracts.snapshots import KeySnapshot, ModelSnapshot
from common.contracts.topology import counter_suffix, other_key
from common.errors import NotFound, Unavailable
from common.periods import period_at
from common.postgres.pool import Pool
from common.pricing import FALLBACK, in_force
from common.readings import reading_of
from redis.exceptions import RedisError

from billing.domain.budgets import Setter
from billing.domain.counters import Counter
from billing.flows.known import Known
from billing.store import budgets
from billing.store.counters import Counters

Reason = Literal["allowed", "model_not_found", "model_not_allowed", "key_disabled", "budget_exceeded"]


class KeyUnknown(NotFound):
    """There is no such key, or it is somebody else's."""


class RedisAway(Unavailable):
    """The counters cannot be read now."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that might be made: whose, of what, and how large. `input_bytes` is the size of its text; `input_tokens`
    takes its place where the caller has counted them."""

    api_key_id: str | None
    model: str
    input_bytes: int
    input_tokens: int | None
    output_tokens: int | None
    choices: int


@dataclass(frozen=True, slots=True)
class Place:
    """One deployment that the call may go to: the most it can cost there, and whether every budget has room for it."""

    provider_type: str
    model: str
    price_version: str
    input_tokens: int
    output_tokens: int
    most_nano: int
    is_allowed: bool
    rule: Standing | None
    is_waiting: bool
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the call would be let through: where one of its places has room for it. The first place is tried first."""

    reason: Reason
    places: tuple[Place, ...]

    @property
    def chosen(self) -> Place | None:
        """The place that would be called; else the first that would refuse."""
        return next((place for place in self.places if place.is_allowed), self.places[0] if self.places else None)


class DryRuns:
    """Answers what a call would meet."""

    def __init__(self, pool: Pool, counters: Counters, known: Known, clock: Clock) -> None:
        self._pool = pool
        self._counters = counters
        self._known = known
        self._clock = clock

    async def decide(self, by: Setter, call: Call) -> Outcome:
        """What would become of a call now. KeyUnknown for another's key, RedisAway while nobody is admitted anyway."""
        key = self._key(by, call.api_key_id)
        models = self._known.models_named(call.model)
        if not models:
            return Outcome("model_not_found", ())
        if key is not None and not key.enabled:
            return Outcome("key_disabled", ())
        if key is not None and key.allowed_models is not None and call.model not in key.allowed_models:
            return Outcome("model_not_allowed", ())
        now = self._clock.now()
        user_id = key.user_id if key is not None else by.user_id
        places = tuple([await self._place(call, key, user_id, model, now) for model in models])
        is_allowed = any(place.is_allowed for place in places)
        return Outcome("allowed" if is_allowed else "budget_exceeded", places)

    def _key(self, by: Setter, api_key_id: str | None) -> KeySnapshot | None:
        if api_key_id is None:
            return None
        key = self._known.keys.get(api_key_id)
        if key is None or not (by.is_admin or key.user_id == by.user_id):
            raise KeyUnknown("no such key")
        return key

    async def _place(
        self, call: Call, key: KeySnapshot | None, user_id: str | None, model: ModelSnapshot, now: datetime
    ) -> Place:
        price = in_force([snapshot.to_price() for snapshot in model.prices], now) or FALLBACK
        read = call.input_tokens or input_bound(call.input_bytes, 0, model.context_length, reading_of(model.name))
        written = call.output_tokens or default_output(call.input_bytes, model.max_output_tokens, model.context_length)
        worst = bound(price, read, written, call.choices)
        most = worst.input_nano - (-written * worst.nano_per_million_output // 1_000_000)
        standings = await self._standings(await self._budgets(key, user_id, model), now)
        decided = verdict(standings, most)
        return Place(
            model.provider_type,
            model.name,
            price.version,
            read,
            written,
            most,
            decided.is_allowed,
            decided.rule,
            decided.is_waiting,
            tuple(standings),
        )

    async def _budgets(self, key: KeySnapshot | None, user_id: str | None, model: ModelSnapshot) -> list[Budget]:
        """Every budget that the call would count in there."""
        team_id = key.team_id if key is not None else None
        whole = call_scopes(key.id, user_id, team_id) if key is not None else call_scopes("", user_id, None)[1:]
        found: list[Budget] = []
        if key is not None and key.monthly_budget is not None:
            found.append(monthly_budget(whole[0], key.monthly_budget))
        for scope, limits in self._known.monthly_limits(user_id, team_id):
            if limits.monthly_budget is not None:
                found.append(monthly_budget(scope, limits.monthly_budget))
        async with self._pool.acquire() as connection:
            scopes = {*whole, *attempt_scopes(user_id, model.provider_type, model.name)}
            further = await budgets.in_scopes(connection, scopes)
        return found + [one.snapshot().to_budget() for one in further]

    async def _standings(self, found: Sequence[Budget], now: datetime) -> list[Standing]:
        counters = [Counter(one.scope, period_at(one.kind, one.zone, now).name) for one in found]
        try:
            spent = await self._spent(counters)
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisAway("the counters cannot be read now", retry_after_seconds=1) from error
        return [Standing(budget, *spent[counter]) for budget, counter in zip(found, counters, strict=True)]

    async def _spent(self, counters: Sequence[Counter]) -> Mapping[Counter, tuple[int, int]]:
        """What is spent and held of each counter, as admission reads it."""
        distinct = list(dict.fromkeys(counters))
        costs = await self._counters.amounts([f"cost:{counter_suffix(*counter)}" for counter in distinct])
        holds = await self._counters.amounts([f"held:{counter_suffix(*counter)}" for counter in distinct])
        others = await self._counters.others([other_key(*counter) for counter in distinct])
        return {
            counter: (cost + other, held)
            for counter, cost, other, held in zip(distinct, costs, others, holds, strict=True)
        }
