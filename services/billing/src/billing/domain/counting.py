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
from decimal import Decimal, localcontext

from common.budgets import attempt_scopes, call_scopes, is_attempt_scope
from common.periods import period_at

from billing.domain.charges import PRECISION, Change, Charge
from billing.domain.counters import MONTHLY, Counter, Span

_NOTHING = Decimal(0)

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


def scopes_of(charge: Charge) -> dict[str, Decimal]:
    """Every scope that a charge counts in, and how much."""
    key, user = charge.owner
    whole = call_scopes(key, user, charge.team_id) if key else call_scopes("", user, charge.team_id)[1:]
    found = dict.fromkeys(whole, charge.counted)
    for attempt in charge.attempts:
        for scope in attempt_scopes(user, attempt.provider_type, attempt.model):
            found[scope] = found.get(scope, _NOTHING) + attempt.cost
    return found


def amount_in(scope: str, charge: Charge) -> Decimal:
    """What a charge counts in a scope that it falls under: all of it, but of a provider or model its own attempts."""
    return scopes_of(charge).get(scope, _NOTHING) if is_attempt_scope(scope) else charge.counted


def period_of(charge: Charge, scope: str, span: Span) -> str:
    """The period of a span that a charge counts in: as admission decided it, where its event says so."""
    if span == MONTHLY:
        return charge.month.name
    for named in (*charge.settled, *charge.budgets):
        if named.scope == scope and re.fullmatch(span.pattern, named.period):
            return named.period
    return period_at(span.kind, span.zone, charge.occurred_at).name


def counters_of(charge: Charge, watched: Watched) -> dict[Counter, Decimal]:
    """Every counter that a charge counts in, and how much."""
    key, user = charge.owner
    month = charge.month.name
    found = {
        Counter(f"{kind}:{name}", month): charge.counted
        for kind, name in (("key", key), ("user", user), ("team", charge.team_id))
        if name
    }
    if watched:
        for scope, amount in scopes_of(charge).items():
            for span in watched.get(scope, ()):
                found[Counter(scope, period_of(charge, scope, span))] = amount
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


def differences(changes: Iterable[Change], watched: Watched) -> dict[Counter, Counted]:
    """What a batch of changes adds to which counters; counters that it leaves as they are stay out."""
    totals: defaultdict[Counter, Decimal] = defaultdict(Decimal)
    settled: defaultdict[Counter, Decimal] = defaultdict(Decimal)
    with localcontext() as context:
        context.prec = PRECISION
        for before, after in changes:
            for sign, charge in ((-1, before), (1, after)):
                if charge is None:
                    continue
                stands = charge.settled
                for counter, amount in counters_of(charge, watched).items():
                    totals[counter] += sign * amount
                    if stands and (part := stands.get(counter)):
                        settled[counter] += sign * part
    found = {counter: Counted(total, settled.get(counter, _NOTHING)) for counter, total in totals.items()}
    return {counter: counted for counter, counted in found.items() if counted.total or counted.settled}


def scopes_among(charges: Iterable[Charge]) -> set[str]:
    """Every scope that any of these charges counts in."""
    kinds = {
        (charge.owner, charge.team_id, attempt.provider_type, attempt.model): charge
        for charge in charges
        for attempt in charge.attempts
    }
    return {scope for charge in kinds.values() for scope in scopes_of(charge)}
