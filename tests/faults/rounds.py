"""One round: fresh keys, clients that call, a nemesis; then heal, drain, gather, and hold it against the promises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

import httpx2
from tollgate.errors import RunnerError
from tollgate.gateway_client import GatewayClient

from .evidence import Reader, System
from .invariants import NANO, broken
from .journals import ClientCall, Evidence, KeyTerms, ProviderCall
from .nemesis import Kind, Nemesis
from .sampler import Sampler
from .stack import Stack
from .workload import orders_of, run

BUDGETS = (None, None, Decimal("0.04"), Decimal("0.08"), None)
"""Of the keys of a round, in dollars a month; the last key is revoked midway."""
_KEYS_SECONDS = 60.0
_CROWD_SECONDS = 0.5
_REST_SECONDS = 120.0
_REST_POLL_SECONDS = 0.5

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a round showed."""

    kind: str
    seed: int
    calls: int
    complete: int
    refused: int
    failed: int
    events: int
    seconds: float
    broken: dict[str, list[str]]

    @property
    def is_good(self) -> bool:
        return not self.broken


class Rounds:
    """Plays rounds on one stack."""

    def __init__(self, stack: Stack, say: Progress) -> None:
        self._stack = stack
        self._say = say
        self._reader = Reader(
            stack.server_url("postgres"),
            stack.server_url("nats"),
            stack.server_url("redis"),
            stack.home.simulator_journal,
        )

    def play(self, kind: Kind, seed: int, calls: int, seconds: float) -> Outcome:
        """One round of one kind of fault."""
        began = time.monotonic()
        stack = self._stack
        keys = self._make_keys(BUDGETS if kind.crowd is None else (kind.crowd.budget,))
        if kind.before is not None:
            kind.before(stack)
        nemesis = Nemesis(stack, Random(f"nemesis {kind.name} {seed}"), seconds)
        seen: list[ClientCall] = []
        month = datetime.now(UTC).strftime("%Y-%m")
        with self._sampling(keys, month) as sampler:
            if kind.crowd is None:
                work = stack.loop.start(self._work(keys, seed, calls, seconds, seen))
            else:
                orders = orders_of(seed, kind.crowd.clients, _CROWD_SECONDS, sorted(keys))
                work = stack.loop.start(run(orders, keys, stack.gateways(), seen.append, kind.crowd.tries))
            kind.act(nemesis)
            while not work.done():
                self._say(f"{len(seen)}/{calls} calls")
                time.sleep(0.2)
            work.result()
            stack.heal()
            drained = self._rest()
        provider = self._reader.read_provider()
        system = stack.loop.run(self._reader.read({key.id: key for key in keys.values()}, month))
        rebuilt = self._rebuild() if kind.rebuilds else None
        evidence = _evidence(keys, seen, provider, system, sampler, nemesis, month, rebuilt, drained=drained)
        return _outcome(kind, seed, evidence, time.monotonic() - began)

    def _make_keys(self, budgets: Sequence[Decimal | None]) -> dict[str, KeyTerms]:
        """Fresh keys, by a name of their own. Services may still be coming back from the round before."""
        deadline = time.monotonic() + _KEYS_SECONDS
        while True:
            try:
                return self._try_keys(budgets)
            except RunnerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _try_keys(self, budgets: Sequence[Decimal | None]) -> dict[str, KeyTerms]:
        keys = {}
        with self._stack.as_admin() as admin:
            for number, budget in enumerate(budgets):
                members = {"name": f"faults {number}", "rate_limit": 100_000}
                members |= {} if budget is None else {"monthly_budget": str(budget)}
                made = admin.call("POST", "/api/v1/keys", members)
                nano = None if budget is None else int(budget * NANO)
                keys[f"key-{number}"] = KeyTerms(made["id"], made["key"], nano)
        return keys

    async def _work(
        self, keys: dict[str, KeyTerms], seed: int, calls: int, seconds: float, seen: list[ClientCall]
    ) -> None:
        orders = orders_of(seed, calls, seconds, sorted(keys))
        last = sorted(keys)[-1]
        revoking = asyncio.create_task(self._revoke(keys, last, seconds * 0.6))
        await run(orders, keys, self._stack.gateways(), seen.append)
        await revoking

    async def _revoke(self, keys: dict[str, KeyTerms], name: str, after: float) -> None:
        """Revoke a key through whichever gateway answers; clients go on calling with it. One that nobody answers in time
        promises nothing."""
        await asyncio.sleep(after)
        key = keys[name]
        for turn in range(40):
            _, port = self._stack.gateways()[turn % 2]
            try:
                await asyncio.to_thread(self._revoke_at, f"http://127.0.0.1:{port}", key.id)
            except (RunnerError, httpx2.HTTPError):
                await asyncio.sleep(1)
                continue
            keys[name] = replace(key, revoked_at=time.time())
            return

    def _revoke_at(self, url: str, key_id: str) -> None:
        with GatewayClient(url) as client:
            client.login(*self._stack.admin())
            client.call("DELETE", f"/api/v1/keys/{key_id}")

    @contextmanager
    def _sampling(self, keys: dict[str, KeyTerms], month: str) -> Iterator[Sampler]:
        limits = [(key.id, key.budget_nano) for key in keys.values() if key.budget_nano is not None]
        sampler = Sampler(self._stack.server_url("redis"), month, limits)
        sampling: Future[None] = self._stack.loop.start(sampler.run())
        try:
            yield sampler
        finally:
            sampling.cancel()

    def _rest(self) -> bool:
        """Wait until nothing moves any more; False when it never does."""
        deadline = time.monotonic() + _REST_SECONDS
        while time.monotonic() < deadline:
            self._say("draining")
            if self._stack.journals_are_empty() and self._stack.loop.run(self._reader.is_at_rest()):
                return True
            time.sleep(_REST_POLL_SECONDS)
        return False

    def _rebuild(self) -> dict[tuple[str, str], Decimal]:
        """Drop what billing has, let it read the whole stream again; what then stands in the ledger."""
        self._stack.drop_billing()
        if not self._rest():
            raise TimeoutError("billing did not read the stream again")
        return self._stack.loop.run(self._reader.read_positions())


def _evidence(
    keys: dict[str, KeyTerms],
    seen: list[ClientCall],
    provider: list[ProviderCall],
    system: System,
    sampler: Sampler,
    nemesis: Nemesis,
    month: str,
    rebuilt: dict[tuple[str, str], Decimal] | None,
    *,
    drained: bool,
) -> Evidence:
    """What is of this round; an older round's redelivered events are not in what the reader found."""
    by_id = {key.id: key for key in keys.values()}
    requests = {event.request_id for event in system.events}
    return Evidence(
        keys=by_id,
        calls=seen,
        provider=provider,
        events=system.events,
        sequences=system.sequences,
        lines=system.lines,
        booked=system.booked,
        dead=system.dead,
        counters=system.counters,
        open_holds=system.open_holds,
        samples=sampler.samples,
        disturbances=nemesis.disturbances,
        month=month,
        drained=drained,
        rebuilt=None if rebuilt is None else {at: amount for at, amount in rebuilt.items() if at[0] in requests},
    )


def _outcome(kind: Kind, seed: int, evidence: Evidence, seconds: float) -> Outcome:
    calls = evidence.calls
    complete = sum(call.is_complete for call in calls)
    refused = sum(call.status in (401, 402, 429) for call in calls)
    hung_up = sum(call.hung_up for call in calls)
    return Outcome(
        kind=kind.name,
        seed=seed,
        calls=len(calls),
        complete=complete,
        refused=refused,
        failed=len(calls) - complete - refused - hung_up,
        events=len(evidence.events),
        seconds=seconds,
        broken=broken(evidence),
    )
