"""In which counters a call counts, and how much of it stands where. Pure.

A counter is a scope and a period (`common.periods`). Its `total` is what was booked of the scope in the period, attempt by
attempt where the scope is a provider or model. `settled` is the part that gateways have added to `cost:` in Redis
themselves: their events name the counter. The rest (calls tracked from outside, corrections, calls from before a budget
was made, calls whose hold was lost with an older epoch of Redis) is billing's own to count there, as `other:`.

Counted always, whether or not there is a budget: the UTC month of every key, user and team. Other scopes and periods are
counted as long as a budget asks for them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

from common.budgets import GLOBAL_SCOPE, attempt_scopes, call_scopes, is_attempt_scope
from common.periods import period_at

from billing.domain.charges import PRECISION, Change, Charge, Month
from billing.domain.counters import MONTHLY, Counter, Span

_NOTHING = Decimal(0)
_EXACT = Context(prec=PRECISION)
_WHOLE = ("key:", "user:", "team:", GLOBAL_SCOPE)

Watched = Mapping[str, Sequence[Span]]
"""By scope, the spans that budgets ask for."""


@dataclass(frozen=True, slots=True)
class Counted:
    """US dollars of a counter, or a difference of it: all of them, and those that stand in Redis under `cost:`."""

    total: Decimal = _NOTHING
    settled: Decimal = _NOTHING

    @property
    def other(self) -> Decimal:
        """What is billing's to count in Redis."""
        return self.total - self.settled


def caller_scopes(api_key_id: str | None, user_id: str | None, team_id: str | None) -> Sequence[str]:
    """The scopes that a call has wherever it goes."""
    return call_scopes(api_key_id, user_id, team_id) if api_key_id else call_scopes("", user_id, team_id)[1:]


def amount_in(scope: str, charge: Charge) -> Decimal:
    """What a charge counts in a scope that it falls under: all of it, but of a provider or model its own attempts."""
    if (scope.startswith(_WHOLE) and "/" not in scope) or not is_attempt_scope(scope):
        return charge.counted
    user, found = charge.owner.user_id, _NOTHING
    for attempt in charge.attempts:
        if scope in attempt_scopes(user, attempt.provider_type, attempt.model):
            found = _EXACT.add(found, attempt.cost)
    return found


def settled_after(before: Charge | None, event: Charge, epoch: str | None) -> dict[Counter, Decimal]:
    """How much of a request stands in `cost:` of which counters once its event is booked.

    A hold of an older epoch was lost with Redis: its settlement added nothing there, so what stood stands.
    """
    settled = dict(before.settled) if before is not None else {}
    is_late = event.epoch is not None and event.epoch != epoch
    for counter in event.budgets:
        if is_late:
            settled.setdefault(counter, _NOTHING)
        else:
            settled[counter] = amount_in(counter.scope, event)
    return settled


class Counts:
    """Which counters the charges of a batch count in; what many of them share is worked out once."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._months: dict[Month, str] = {}
        self._named: dict[tuple[str, str, Month], tuple[Counter, Sequence[Span]]] = {}
        self._places: dict[tuple[str | None, str, str], list[tuple[str, Sequence[Span]]]] = {}
        self._matches: dict[tuple[str, Span], bool] = {}

    def of(self, charge: Charge) -> dict[Counter, Decimal]:
        """Every counter that a charge counts in, and how much."""
        found: dict[Counter, Decimal] = {}
        counted, month, (key, user) = charge.counted, charge.month, charge.owner
        for kind, name in (("key", key), ("user", user), ("team", charge.team_id)):
            if name:
                counter, spans = self._named.get((kind, name, month)) or self._name(kind, name, month)
                found[counter] = counted
                for span in spans:
                    found[self._counter(charge, counter.scope, span)] = counted
        for span in self._watched.get(GLOBAL_SCOPE, ()):
            found[self._counter(charge, GLOBAL_SCOPE, span)] = counted
        if self._watched:
            self._count_places(charge, found)
        return found

    def _count_places(self, charge: Charge, found: dict[Counter, Decimal]) -> None:
        user = charge.owner.user_id
        for attempt in charge.attempts:
            place = (user, attempt.provider_type, attempt.model)
            watched = self._places.get(place)
            if watched is None:
                scopes = attempt_scopes(*place)
                watched = [(scope, self._watched[scope]) for scope in scopes if scope in self._watched]
                self._places[place] = watched
            for scope, spans in watched:
                for span in spans:
                    counter = self._counter(charge, scope, span)
                    found[counter] = found.get(counter, _NOTHING) + attempt.cost

    def _name(self, kind: str, name: str, month: Month) -> tuple[Counter, Sequence[Span]]:
        scope = f"{kind}:{name}"
        made = Counter(scope, self._month(month)), self._watched.get(scope, ())
        self._named[kind, name, month] = made
        return made

    def _counter(self, charge: Charge, scope: str, span: Span) -> Counter:
        """The counter of a scope and span that a charge counts in: in the period that admission decided on, where its
        event says so."""
        if span == MONTHLY:
            return Counter(scope, self._month(charge.month))
        for named in (*charge.settled, *charge.budgets):
            if named.scope == scope and self._is_of(named.period, span):
                return named
        return Counter(scope, period_at(span.kind, span.zone, charge.occurred_at).name)

    def _is_of(self, period: str, span: Span) -> bool:
        found = self._matches.get((period, span))
        if found is None:
            found = self._matches[period, span] = bool(re.fullmatch(span.pattern, period))
        return found

    def _month(self, month: Month) -> str:
        found = self._months.get(month)
        if found is None:
            found = self._months[month] = month.name
        return found


def differences(changes: Iterable[Change], watched: Watched) -> dict[Counter, Counted]:
    """What a batch of changes adds to which counters; counters that it leaves as they are stay out."""
    totals: defaultdict[Counter, Decimal] = defaultdict(Decimal)
    settled: defaultdict[Counter, Decimal] = defaultdict(Decimal)
    counters_of = Counts(watched).of
    with localcontext() as context:
        context.prec = PRECISION
        for before, after in changes:
            if before is not None:
                for counter, amount in counters_of(before).items():
                    totals[counter] -= amount
                    settled[counter] -= before.settled.get(counter, _NOTHING)
            stands = after.settled
            for counter, amount in counters_of(after).items():
                totals[counter] += amount
                if counter in stands:
                    settled[counter] += stands[counter]
    found = {counter: Counted(total, settled.get(counter, _NOTHING)) for counter, total in totals.items()}
    return {counter: counted for counter, counted in found.items() if counted.total or counted.settled}


def scopes_among(charges: Iterable[Charge]) -> set[str]:
    """Every scope that any of these charges counts in."""
    callers: set[tuple[str | None, str | None, str | None]] = set()
    places: set[tuple[str | None, str, str]] = set()
    for charge in charges:
        key, user = charge.owner
        callers.add((key, user, charge.team_id))
        for attempt in charge.attempts:
            places.add((user, attempt.provider_type, attempt.model))
    found = {scope for caller in callers for scope in caller_scopes(*caller)}
    return found.union(*(attempt_scopes(*place) for place in places))
