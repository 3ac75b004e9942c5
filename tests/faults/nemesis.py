"""What breaks things: a row a kind of fault, each a few lines of blocking code that runs while clients call.

A kind breaks and mends as it likes within the round and notes when what was disturbed; `Stack.heal` mends the rest
afterwards. Moments and victims are drawn from the round's seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import redis

from .disks import Kind as DiskKind
from .journals import Disturbance
from .proxy import Link, Mode
from .stack import GATEWAYS, SIDES, Stack

# Each kind sleeps for shares of its round, so that a longer round has the same shape.
BEYOND_THE_LEASE_SECONDS = 36.0
"""Longer than a hold's lease and than a delivery waits for its acknowledgement (30 s each)."""

UNHEARD_SECONDS = 0.3
"""Long enough for calls to end, too short for a gateway to give Redis up (`redis_timeout`)."""


@dataclass
class Nemesis:
    """One round's worth of trouble: for `seconds` from now clients call."""

    stack: Stack
    draw: Random
    seconds: float
    disturbances: list[Disturbance] = field(default_factory=list)

    @contextmanager
    def disturbing(self, what: str, *parts: str) -> Iterator[None]:
        """Note that a phase began, and when it ended."""
        began = time.time()
        try:
            yield
        finally:
            self.disturbances.append(Disturbance(what, frozenset(parts), began, time.time()))

    def sleep(self, least: float, most: float) -> None:
        """A drawn share of the round."""
        time.sleep(self.seconds * self.draw.uniform(least, most))

    def pick(self, *names: str) -> str:
        """One of them."""
        return self.draw.choice(names)


@dataclass(frozen=True)
class Crowd:
    """A workload of its own: so many clients at once on one budget (dollars), who come again when told to."""

    clients: int
    budget: Decimal
    tries: int = 25


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `disk`: what its servers' files must lie on. `before`: what is done before clients begin."""

    name: str
    act: Callable[[Nemesis], None]
    disk: DiskKind = "ordinary"
    before: Callable[[Stack], None] | None = None
    rebuilds: bool = False
    crowd: Crowd | None = None


def _nothing(nemesis: Nemesis) -> None:
    nemesis.sleep(0.9, 1.0)


def _killed(*names: str, is_blind: bool = False, down: float = 0.12) -> Callable[[Nemesis], None]:
    """kill -9, twice in a round, with a while of being dead; several names: one of them each time."""

    def act(nemesis: Nemesis) -> None:
        for _ in range(2):
            nemesis.sleep(0.12, 0.25)
            name = nemesis.pick(*names)
            with nemesis.disturbing("kill", name):
                nemesis.stack.kill(name)
                with nemesis.disturbing("blind" if is_blind else "dead", *GATEWAYS):
                    nemesis.sleep(down / 2, down)
                nemesis.stack.restart(name)

    return act


def _gateway_killed_before_it_settles(nemesis: Nemesis) -> None:
    """What a gateway has told of when it dies, Redis has not heard: its calls are settled by an estimate first, and
    again by what they cost."""
    for _ in range(2):
        nemesis.sleep(0.12, 0.2)
        name = nemesis.pick(*GATEWAYS)
        link = nemesis.stack.links[name, "redis"]
        with nemesis.disturbing("kill", name):
            link.set_mode("silent")
            time.sleep(UNHEARD_SECONDS)
            nemesis.stack.kill(name)
            link.set_mode("open")
            with nemesis.disturbing("dead", *GATEWAYS):
                nemesis.sleep(0.06, 0.12)
            nemesis.stack.restart(name)


def _paused(name: str, *, is_blind: bool = False) -> Callable[[Nemesis], None]:
    def act(nemesis: Nemesis) -> None:
        nemesis.sleep(0.15, 0.3)
        with nemesis.disturbing("pause", name):
            nemesis.stack.pause(name)
            with nemesis.disturbing("blind" if is_blind else "paused", *GATEWAYS):
                nemesis.sleep(0.2, 0.3)
            nemesis.stack.resume(name)

    return act


def _paused_beyond_the_lease(nemesis: Nemesis) -> None:
    nemesis.sleep(0.2, 0.4)
    gateway = nemesis.pick(*GATEWAYS)
    with nemesis.disturbing("pause", gateway, "billing"):
        nemesis.stack.pause(gateway)
        nemesis.stack.pause("billing")
        nemesis.stack.add_billing("billing-b")
        time.sleep(BEYOND_THE_LEASE_SECONDS)
        nemesis.stack.resume(gateway)
        nemesis.stack.resume("billing")
    time.sleep(2)
    nemesis.stack.remove("billing-b")


def _redis_emptied(nemesis: Nemesis) -> None:
    nemesis.sleep(0.3, 0.5)
    _redis_emptied_now(nemesis)
    nemesis.sleep(0.3, 0.4)


def _redis_emptied_now(nemesis: Nemesis) -> None:
    with nemesis.disturbing("emptied", "redis"):
        client = redis.from_url(nemesis.stack.server_url("redis"))
        client.flushall()
        client.close()


def _redis_lost(nemesis: Nemesis) -> None:
    nemesis.sleep(0.3, 0.5)
    stack = nemesis.stack
    with nemesis.disturbing("lost", "redis"):
        stack.kill("redis")
        stack.empty_disk_of("redis")
        with nemesis.disturbing("blind", *GATEWAYS):
            nemesis.sleep(0.05, 0.1)
        stack.restart("redis")


def _links(mode: Mode, *, seconds: tuple[float, float] = (0.04, 0.1), times: int = 4) -> Callable[[Nemesis], None]:
    """One link after another is broken, any but the provider's."""

    def act(nemesis: Nemesis) -> None:
        for _ in range(times):
            nemesis.sleep(0.05, 0.12)
            process, target = nemesis.draw.choice(sorted(_inner_links(nemesis.stack)))
            link = nemesis.stack.links[process, target]
            with nemesis.disturbing(mode, process, target):
                link.set_mode(mode)
                nemesis.sleep(*seconds)
                link.set_mode("open")

    return act


def _all_links_of(mode: Mode, target: str, *, is_blind: bool = False) -> Callable[[Nemesis], None]:
    """Every gateway's link to a server at once."""

    def act(nemesis: Nemesis) -> None:
        nemesis.sleep(0.2, 0.35)
        links = nemesis.stack.links_of(by="gateway", to=target)
        with nemesis.disturbing(mode, target):
            _set(links, mode)
            with nemesis.disturbing("blind" if is_blind else mode, *GATEWAYS):
                nemesis.sleep(0.25, 0.35)
            _set(links, "open")

    return act


def _links_slow(nemesis: Nemesis) -> None:
    links = nemesis.stack.links_of()
    nemesis.sleep(0.1, 0.2)
    with nemesis.disturbing("slow", "nats", "redis", "postgres"):
        for link in links:
            link.set_delay(nemesis.draw.choice((0.0, 0.02, 0.1, 0.2)))
        nemesis.sleep(0.4, 0.6)
        for link in links:
            link.set_delay(0)


def _provider_cut(nemesis: Nemesis) -> None:
    for _ in range(8):
        nemesis.sleep(0.06, 0.1)
        nemesis.stack.links[nemesis.pick(*GATEWAYS), "simulator"].reset()


def _disk_full(name: str, *, is_blind: bool = False) -> Callable[[Nemesis], None]:
    """A full disk, freed after a while; the server is then started again, as an operator would."""

    def act(nemesis: Nemesis) -> None:
        nemesis.sleep(0.15, 0.3)
        stack = nemesis.stack
        with nemesis.disturbing("disk full", name):
            stack.disks.fill(name)
            nemesis.sleep(0.2, 0.3)
            stack.disks.free()
            stack.kill(name)
            stack.restart(name)

    return act


def _power_cut(name: str) -> Callable[[Nemesis], None]:
    def act(nemesis: Nemesis) -> None:
        nemesis.sleep(0.3, 0.5)
        stack = nemesis.stack
        with nemesis.disturbing("power cut", name):
            stack.kill(name)
            stack.disks.cut_power(name)
            stack.restart(name)

    return act


def _clocks_off(stack: Stack) -> None:
    for name, seconds in zip(GATEWAYS, (3600.0, -3600.0), strict=True):
        stack.skew[name] = seconds
        stack.kill(name)
        stack.restart(name)
    stack.wait_ready()


def _clock_in_another_month(stack: Stack) -> None:
    name = GATEWAYS[1]  # the administrator comes through the other one, whose clock is right
    stack.skew[name] = -31 * 86_400.0
    stack.kill(name)
    stack.restart(name)
    stack.wait_ready()


def _redelivered(nemesis: Nemesis) -> None:
    """Billing's consumer begins at the stream's first message again, with three processes on it, one of them killed."""
    stack = nemesis.stack
    stack.add_billing("billing-b")
    stack.add_billing("billing-c")
    for _ in range(2):
        nemesis.sleep(0.25, 0.35)
        stack.forget_consumer("billing")
    stack.kill("billing")
    nemesis.sleep(0.1, 0.2)
    stack.restart("billing")
    stack.wait_ready()
    stack.remove("billing-b")
    stack.remove("billing-c")


def _rolling_restart(nemesis: Nemesis) -> None:
    for name in GATEWAYS:
        nemesis.sleep(0.1, 0.2)
        with nemesis.disturbing("drain", name):
            nemesis.stack.terminate(name)
        nemesis.stack.restart(name)
        nemesis.stack.wait_ready()


def _gateway_killed_and_redis_emptied(nemesis: Nemesis) -> None:
    nemesis.sleep(0.12, 0.16)
    name = nemesis.pick(*GATEWAYS)
    with nemesis.disturbing("kill", name):
        nemesis.stack.kill(name)
    nemesis.stack.restart(name)
    nemesis.sleep(0.12, 0.16)
    _redis_emptied_now(nemesis)


def _set(links: list[Link], mode: Mode) -> None:
    for link in links:
        link.set_mode(mode)


def _inner_links(stack: Stack) -> list[tuple[str, str]]:
    return [pair for pair in stack.links if pair[1] in ("nats", "redis", "postgres")]


KINDS = (
    Kind("nothing", _nothing),
    Kind("gateway killed", _killed(*GATEWAYS)),
    Kind("killed before it settles", _gateway_killed_before_it_settles),
    Kind("billing killed", _killed("billing")),
    Kind("other services killed", _killed(*SIDES)),
    Kind("paused beyond the lease", _paused_beyond_the_lease),
    Kind("redis killed", _killed("redis", is_blind=True)),
    Kind("redis paused", _paused("redis", is_blind=True)),
    Kind("redis emptied", _redis_emptied),
    Kind("redis lost", _redis_lost),
    Kind("nats killed", _killed("nats")),
    Kind("nats paused", _paused("nats")),
    Kind("postgres killed", _killed("postgres")),
    Kind("postgres paused", _paused("postgres")),
    Kind("links cut", _links("cut")),
    Kind("links half-open", _links("silent")),
    Kind("links slow", _links_slow),
    Kind("replies of nats dropped", _all_links_of("deaf", "nats")),
    Kind("replies of redis dropped", _all_links_of("deaf", "redis", is_blind=True)),
    Kind("provider cut", _provider_cut),
    Kind("redelivered to three", _redelivered),
    Kind("rolling restart", _rolling_restart),
    Kind("a thousand on a dollar", _gateway_killed_and_redis_emptied, crowd=Crowd(1_000, Decimal(1))),
    Kind("disk of nats full", _disk_full("nats"), disk="small"),
    Kind("disk of redis full", _disk_full("redis"), disk="small"),
    Kind("disk of postgres full", _disk_full("postgres"), disk="small"),
    Kind("power cut of nats", _power_cut("nats"), disk="forgetful"),
    Kind("power cut of redis", _power_cut("redis"), disk="forgetful"),
    Kind("power cut of postgres", _power_cut("postgres"), disk="forgetful"),
    Kind("clocks an hour off", _nothing, before=_clocks_off),
    Kind("clock in another month", _nothing, before=_clock_in_another_month),
    Kind("ledger rebuilt", _nothing, rebuilds=True),
)
"""In this order on a stack; what changes it for good comes last."""


def kinds_named(names: list[str]) -> list[Kind]:
    """The kinds of these names, or whose names hold one of these words, or all; ValueError when one fits none."""
    exact = [kind for kind in KINDS if kind.name in names]
    if len(exact) == len(names) and names:
        return exact
    for name in names:
        if not any(name in kind.name for kind in KINDS):
            raise ValueError(f"no kind of fault is called {name}: there are {', '.join(kind.name for kind in KINDS)}")
    return [kind for kind in KINDS if not names or any(name in kind.name for name in names)]
