"""Rebuilding the books: emptied, replayed from the stream, and kept only if they say what they said.

One transaction of the owner's. It has the counters alone, so that nothing is booked meanwhile; what comes in waits in the
stream. When anything differs afterwards everything stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from common.bus.consume import Received
from common.clock import Clock
from common.errors import Conflict
from common.postgres.pool import Connection, Pool
from nats.js import JetStreamContext

from billing.domain.charges import Change, Charge
from billing.flows.booking import book_batch
from billing.flows.changing import Changing
from billing.store import charges, locks, rebuild, reratings
from billing.store.rebuild import Prints

Read = Callable[[bytes], Charge]


class StreamTooShort(Conflict):
    """The stream no longer has everything that is booked."""


class BooksDiffer(Conflict):
    """The books would say something else after the rebuild; they were left as they were."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was replayed, and what the books say: before and after alike."""

    events: int
    prints: Prints


async def rebuild_books(owner: Pool, jetstream: JetStreamContext, clock: Clock, read: Read) -> Rebuilt:
    """Rebuild over a pool of the owner's; `read` makes a charge of an event's bytes, ValueError for poison.

    Raises StreamTooShort before anything is touched, BooksDiffer after everything was put back.
    """
    async with owner.acquire() as connection, connection.transaction():
        await rebuild.act_in_schema(connection)
        await locks.take_counters(connection)
        await _refuse_short_stream(connection, jetstream)
        before = await rebuild.prints(connection)
        await rebuild.begin(connection)
        events = 0
        async for batch in rebuild.replay(jetstream):
            events += await _book(connection, batch, clock, read)
        await _price_again(connection, clock)
        await rebuild.end(connection)
        after = await rebuild.prints(connection)
        if after != before:
            names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
            raise BooksDiffer(f"the rebuilt books differ in {', '.join(names)}; nothing was changed")
    return Rebuilt(events, after)


async def _price_again(connection: Connection, clock: Clock) -> None:
    """Let charges that had been priced again stand as they stood; their lines are among those that were kept."""
    changing = Changing()
    async for kept in reratings.kept_pages(connection):
        replayed = await charges.lock(connection, [charge.request_id for charge in kept])
        changes: list[Change] = [(replayed[c.request_id], c) for c in kept if c.request_id in replayed]
        await charges.replace(connection, [after for _, after in changes], clock.now())
        await changing.take(connection, changes)
    await changing.write(connection, clock.now(), tells=False)
    await reratings.marks_kept(connection)


async def _refuse_short_stream(connection: Connection, jetstream: JetStreamContext) -> None:
    booked, first = await rebuild.first_sequence(connection), await rebuild.first_in_stream(jetstream)
    if booked is not None and booked < first:
        raise StreamTooShort(
            f"the stream begins at {first}, and events from {booked} on are booked: the books cannot be rebuilt from it"
        )


async def _book(connection: Connection, batch: Sequence[Received], clock: Clock, read: Read) -> int:
    """Book those events of a batch that had been booked; others are left to the consumer."""
    told = [(received.sequence, charge) for received in batch if (charge := _charge(received, read)) is not None]
    ids: list[UUID] = [charge.event_id for _, charge in told]
    kept = await rebuild.kept_among(connection, ids)
    wanted = [(sequence, charge) for sequence, charge in told if charge.event_id in kept]
    if wanted:
        await book_batch(connection, wanted, clock.now(), is_replay=True)
    return len(wanted)


def _charge(received: Received, read: Read) -> Charge | None:
    try:
        return read(received.body)
    except ValueError:
        return None  # poison: it lies in the DLQ
