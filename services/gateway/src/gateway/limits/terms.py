"""The terms on which a key calls: which windows, budgets and quota bear on it, and in which counters its calls count.

Worked out once a key and kept until a snapshot changes, because every call asks; the counters of a place (a provider's
model) also until a period of theirs ends. Redis' own clock decides which period is now: what stands here is this
machine's guess, with the span in which it is right, and Redis says when it is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from common.budgets import (
    MONTHLY_QUOTAS,
    Budget,
    attempt_scopes,
    call_scopes,
    key_scope,
    monthly_budget,
    quota_scope,
    team_scope,
    user_scope,
)
from common.contracts.snapshots import Limits
from common.contracts.topology import counter_suffix, quota_key
from common.periods import Period, counter_name, period_at

from gateway.limits.packing import Packed, packed
from gateway.mirrors.budgets import Budgets
from gateway.mirrors.keys import ApiKey, Keys

_MOST_KEPT = 10_000
_MOST_PLACES = 500
FOR_EVER_MS = 2**53
"""Later than any clock says."""
_QUOTA_PREFIX = "quota:"

Place = tuple[str, str]
"""A provider's type and a model's name there."""


@dataclass(frozen=True, slots=True)
class Window:
    """Limits of a minute, and of calls at once, of a key, user or team; 0: none. `whose` names their keys in Redis."""

    whose: str
    rate_limit: int
    token_limit: int
    max_concurrency: int


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters that an attempt counts in while now is within [`from_ms`, `until_ms`).

    `names` are what its event calls them, `rules` the budget that binds in each (None: it is only counted); `arguments`
    and `quota` are what the scripts take, `admission` what an admission takes while now is in that span.
    """

    month: str
    from_ms: int
    until_ms: int
    names: tuple[str, ...]
    rules: tuple[Budget | None, ...]
    arguments: tuple[str | int, ...]
    quota: str
    admission: Packed

    def whenever(self) -> Packed:
        """What an admission takes whose call began in that span, whenever it is now."""
        return packed(0, FOR_EVER_MS, self.quota, *self.arguments)


@dataclass(slots=True)
class Terms:
    """What bears on the calls of one key; `window_arguments` is what the scripts take, `admission` what an admission
    takes."""

    key: ApiKey
    window_arguments: tuple[str | int, ...]
    admission: Packed
    token_limit: int
    budgets: tuple[Budget, ...]
    further: Budgets
    _counters: dict[Place | None, Counters] = field(default_factory=dict)

    def counters(self, place: Place | None, now_ms: int) -> Counters:
        """The counters of a call at a place, as far as this clock can tell. None: of one that is owed to nobody here."""
        if place is None:
            return _counters(self.key, (), now_ms)
        where = place if self.further.depend_on_attempts else None
        kept = self._counters.get(where)
        if kept is not None and kept.from_ms <= now_ms < kept.until_ms:
            return kept
        if len(self._counters) >= _MOST_PLACES:
            self._counters.clear()
        fresh = self._counters[where] = _counters(self.key, self._budgets_at(where), now_ms)
        return fresh

    def _budgets_at(self, place: Place | None) -> tuple[Budget, ...]:
        if place is None:
            return self.budgets
        there = attempt_scopes(self.key.user_id, *place)
        return (*self.budgets, *(budget for scope in there for budget in self.further.of_scope(scope)))


class TermsBook:
    """The terms of all keys: bounded in number, all forgotten when a key, user, team or budget changes."""

    def __init__(self, keys: Keys, budgets: Budgets) -> None:
        self._keys = keys
        self._budgets = budgets
        self._kept: OrderedDict[str, Terms] = OrderedDict()
        self._generation = (-1, -1)

    def of(self, key: ApiKey) -> Terms:
        """The terms of a key."""
        generation = (self._keys.generation, self._budgets.generation)
        if generation != self._generation:
            self._kept.clear()
            self._generation = generation
        kept = self._kept.get(key.id)
        if kept is not None and kept.key is key:
            return kept
        if len(self._kept) >= _MOST_KEPT:
            self._kept.popitem(last=False)
        fresh = self._kept[key.id] = self._work_out(key)
        return fresh

    def _work_out(self, key: ApiKey) -> Terms:
        user, team = self._keys.user_limits(key.user_id), self._keys.team_limits(key.team_id)
        windows = tuple(window for window in _windows(key, user, team) if _limits_anything(window))
        arguments = (len(windows), *(part for window in windows for part in _arguments(window)))
        return Terms(
            key=key,
            window_arguments=arguments,
            admission=packed(key.id, _quota(key.tier), *arguments),
            token_limit=min((window.token_limit for window in windows if window.token_limit), default=0),
            budgets=tuple(_budgets(key, user, team, self._budgets)),
            further=self._budgets,
        )


def _windows(key: ApiKey, user: Limits | None, team: Limits | None) -> Iterable[Window]:
    yield Window(key.id, key.rate_limit, key.token_limit, key.max_concurrency)
    if user is not None and key.user_id is not None:
        yield _window(user_scope(key.user_id), user)
    if team is not None and key.team_id is not None:
        yield _window(team_scope(key.team_id), team)


def _window(whose: str, limits: Limits) -> Window:
    return Window(whose, limits.rate_limit or 0, limits.token_limit or 0, limits.max_concurrency or 0)


def _limits_anything(window: Window) -> bool:
    return bool(window.rate_limit or window.token_limit or window.max_concurrency)


def _arguments(window: Window) -> tuple[str | int, ...]:
    return window.whose, window.rate_limit, window.token_limit, window.max_concurrency


def _quota(tier: str | None) -> int:
    """Calls a month; -1 for as many as one likes."""
    most = MONTHLY_QUOTAS.get(tier) if tier is not None else None
    return -1 if most is None else most


def _budgets(key: ApiKey, user: Limits | None, team: Limits | None, further: Budgets) -> Iterable[Budget]:
    if key.budget_nano >= 0:
        yield Budget(None, key_scope(key.id), "monthly", "UTC", "hard", key.budget_nano)
    if user is not None and key.user_id is not None and user.monthly_budget is not None:
        yield monthly_budget(user_scope(key.user_id), user.monthly_budget)
    if team is not None and key.team_id is not None and team.monthly_budget is not None:
        yield monthly_budget(team_scope(key.team_id), team.monthly_budget)
    for scope in call_scopes(key.id, key.user_id, key.team_id):
        yield from further.of_scope(scope)


def _counters(key: ApiKey, budgets: Iterable[Budget], now_ms: int) -> Counters:
    """One counter a scope and period, whatever budgets share it; the key's own month always counts, and comes first."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    month = period_at("monthly", "UTC", now)
    periods = [month]
    rules: dict[tuple[str, str], Budget | None] = {(key_scope(key.id), month.name): None}
    for budget in budgets:
        period = period_at(budget.kind, budget.zone, now)
        periods.append(period)
        counter = (budget.scope, period.name)
        rules[counter] = _stricter(rules.get(counter), budget)
    from_ms, until_ms = max(_starts_ms(period) for period in periods), min(_ends_ms(period) for period in periods)
    quota = _quota_suffix(key, month.name) if key.tier is not None else ""
    arguments = tuple(part for counter, rule in rules.items() for part in _counter_arguments(counter, rule))
    return Counters(
        month=month.name,
        from_ms=from_ms,
        until_ms=until_ms,
        names=tuple(counter_name(*counter) for counter in rules),
        rules=tuple(rules.values()),
        arguments=arguments,
        quota=quota,
        admission=packed(from_ms, until_ms, quota, *arguments),
    )


def _stricter(one: Budget | None, other: Budget) -> Budget | None:
    """Of the budgets of one counter the hard one with the least limit binds; a soft one only counts."""
    if other.mode == "soft":
        return one
    return other if one is None or other.limit_nano < one.limit_nano else one


def _counter_arguments(counter: tuple[str, str], rule: Budget | None) -> tuple[str | int, ...]:
    return counter_suffix(*counter), counter_name(*counter), -1 if rule is None else rule.limit_nano


def _quota_suffix(key: ApiKey, month: str) -> str:
    return quota_key(quota_scope(key.id, key.user_id), month).removeprefix(_QUOTA_PREFIX)


def _starts_ms(period: Period) -> int:
    return _milliseconds(period.starts_at) if period.starts_at is not None else 0


def _ends_ms(period: Period) -> int:
    return _milliseconds(period.ends_at) if period.ends_at is not None else FOR_EVER_MS


def _milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
