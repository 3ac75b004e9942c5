"""Booking: a batch of events into ledger, months, providers' days and counters, all in one transaction."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from common.clock import Clock
from common.postgres import outbox
from common.postgres.pool import Connection, Pool

from billing.domain import counting, ledger
from billing.domain.budgets import Budget, passed
from billing.domain.charges import Change, Charge
from billing.domain.counters import Counter, Span
from billing.domain.counting import Counted
from billing.domain.ledger import Booking
from billing.domain.resettling import resettlements_of
from billing.flows import messages
from billing.flows.others import Others
from billing.store import budgets, charges, days, entries, locks, months, quotas, resettlements, totals
from billing.store.totals import Total


class Books:
    """Books what calls cost. Events of the same request may be booked by several replicas at the same time."""

    def __init__(self, pool: Pool, others: Others, clock: Clock) -> None:
        self._pool = pool
        self._others = others
        self._clock = clock

    async def record_usage(self, events: Sequence[tuple[int, Charge]]) -> None:
        """Book a batch of events (stream sequence, charge): all of it or nothing; what was booked before changes
        nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            changed = await book_batch(connection, events, self._clock.now())
        self._others.changed(changed)


async def book_batch(
    connection: Connection, events: Sequence[tuple[int, Charge]], at: datetime, *, is_replay: bool = False
) -> list[Total]:
    """Book a batch in the caller's transaction; the counters whose `other` part has changed. A replay tells nothing, and
    leaves to its caller which lines stand in another month's statement."""
    present = await locks.share_counters(connection)
    claimed = await charges.claim_events(connection, [(c.event_id, sequence) for sequence, c in events], at)
    fresh = ledger.unseen([charge for _, charge in events], claimed)
    if not fresh:
        return []
    booking = await _write_charges(connection, fresh, present.epoch, at)
    if booking.entries:
        await entries.append(connection, booking.entries, at, None if is_replay else present.closed)
    await _write_sums(connection, booking)
    if booking.told_twice and not is_replay:
        wanted = [one for charge in booking.told_twice.values() for one in resettlements_of(charge, present.epoch)]
        await resettlements.note(connection, wanted, at)
    asked, found = await differences_of(connection, booking.changes)
    return await add_differences(connection, asked, found, at, tells=not is_replay)


async def differences_of(
    connection: Connection, changes: Sequence[Change]
) -> tuple[Sequence[Budget], Mapping[Counter, Counted]]:
    """The budgets that changes of charges count in, and what they add to which counters."""
    scopes = counting.scopes_among(charge for pair in changes for charge in pair if charge)
    asked = await budgets.in_scopes(connection, scopes)
    return asked, counting.differences(changes, _watched(asked))


async def add_differences(
    connection: Connection, asked: Sequence[Budget], found: Mapping[Counter, Counted], at: datetime, *, tells: bool
) -> list[Total]:
    """Add differences to the counters, and tell of thresholds that are passed; the counters whose `other` part has
    changed."""
    if not found:
        return []
    counted = await totals.add(connection, found, at)
    if asked and tells:
        await _tell_thresholds(connection, asked, counted, found, at)
    return [total for total in counted if found[total.counter].other]


async def tell_reached(connection: Connection, reached: Sequence[tuple[Budget, Total, int]], at: datetime) -> int:
    """Tell of thresholds that were reached, each once for good; the id of the last outbox row."""
    claims = {(budget.id, total.counter.period, percent): (budget, total) for budget, total, percent in reached}
    claimed = await budgets.claim_thresholds(connection, list(claims), at) if claims else set()
    told = [messages.threshold_reached(*claims[claim], claim[2], at) for claim in sorted(claimed)]
    return await outbox.add(connection, told)


async def _write_charges(connection: Connection, fresh: Sequence[Charge], epoch: str | None, at: datetime) -> Booking:
    """Most requests have one event: their charges are written at once, and only those that had one already are read,
    held and replaced."""
    booking = ledger.book({}, fresh, epoch)
    created = await charges.create(connection, booking.charges.values(), at)
    if len(created) < len(booking.charges):
        standing = await charges.lock(connection, booking.charges.keys() - created)
        booking = ledger.book(standing, fresh, epoch)
        await charges.replace(connection, [c for c in booking.charges.values() if c.request_id in standing], at)
    return booking


async def _write_sums(connection: Connection, booking: Booking) -> None:
    if booking.months:
        await months.add(connection, booking.months)
    if booking.days:
        await days.add(connection, booking.days)
    if booking.quotas:
        await quotas.add(connection, booking.quotas)


async def _tell_thresholds(
    connection: Connection,
    asked: Sequence[Budget],
    counted: Sequence[Total],
    differences: Mapping[Counter, Counted],
    at: datetime,
) -> None:
    reached: list[tuple[Budget, Total, int]] = []
    of_scope: defaultdict[str, list[Total]] = defaultdict(list)
    for total in counted:
        of_scope[total.counter.scope].append(total)
    for budget in asked:
        for total in of_scope[budget.target.counter_scope]:
            if re.fullmatch(budget.span.pattern, total.counter.period):
                after = total.counted.total
                before = after - differences[total.counter].total
                reached += [(budget, total, percent) for percent in passed(budget, before, after)]
    await tell_reached(connection, reached, at)


def _watched(asked: Sequence[Budget]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for budget in asked:
        spans = found.setdefault(budget.target.counter_scope, [])
        if budget.span not in spans:
            spans.append(budget.span)
    return found
