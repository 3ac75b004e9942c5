"""Admission and settlement as the rest of the gateway sees them: typed questions to the Lua scripts.

The scripts decide; nothing here does. Every amount is a whole number of nano-USD. The records are msgspec's, since every
call makes several, and a frozen dataclass takes ten times as long to make.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal

import msgspec
from common.budgets import Budget
from common.clock import Clock
from common.ids import UsageKind

from gateway.limits.packing import Argument, Packed, packed
from gateway.limits.redis import RedisAway, RedisLine, RedisRefused
from gateway.limits.terms import Counters, Place, Terms

_NAMES = ("admit", "settle", "renew", "rehold", "reap", "park")

LEASE_SECONDS = 30.0
"""How long a hold is known to be alive without a word from its gateway."""

_CLOCK_TRIES = 3
_NOT_AFTER_MS = 1_000

Why = Literal["closed", "revoked", "quota", "rate", "tokens", "concurrency", "budget"]


class Claim(msgspec.Struct, frozen=True):
    """What an attempt asks to be admitted with; `call` is what the reaper needs to tell of it, as JSON. One that is not
    owed to us (by a user's own credential) costs nothing here: no budget of ours bears on it. `began_ms` is when the first
    attempt of its call was admitted, by Redis' clock: all of them count in the periods of that instant. 0: this is it."""

    terms: Terms
    place: Place
    request_id: str
    attempt: int
    input_nano: int
    nano_per_million_output: int
    output_tokens: int
    may_cut_output: bool
    input_tokens: int
    call: bytes
    choices: int = 1
    is_owed: bool = True
    began_ms: int = 0


class Admitted(msgspec.Struct, frozen=True):
    """An attempt may run: what is held for it, in which epoch and counters, and what the tightest limits had left.

    A limit of 0: there is none, or it was not counted again. `counted` has (spent, held before) of each counter; what
    billing counts besides is in `spent` of those only that have a limit. `at_ms` is when, by Redis' clock.
    """

    epoch: str
    output_tokens: int
    held_nano: int
    rate_limit: int
    rate_remaining: int
    token_limit: int
    token_remaining: int
    counted: tuple[tuple[int, int], ...]
    counters: Counters
    at_ms: int = 0


class Refused(msgspec.Struct, frozen=True):
    """An attempt may not run. `is_waiting`: only what other calls hold stands in the way of `budget`, which has
    `room_nano` left."""

    why: Why
    retry_ms: int | None = None
    is_waiting: bool = False
    limit: int = 0
    budget: Budget | None = None
    room_nano: int = 0


class Held(msgspec.Struct, frozen=True):
    """A hold as this gateway remembers it, enough to write it again."""

    claim: Claim
    admitted: Admitted
    delivered_tokens: int
    epoch: str


class Sight(msgspec.Struct, frozen=True):
    """What a renewal saw: the time by Redis, the epoch (empty: admission is closed), and which were not held."""

    now_ms: int
    epoch: str
    missing: frozenset[int]


class Abandoned(msgspec.Struct, frozen=True):
    """A hold whose gateway no longer renews it. `delivered_tokens` is -1 when it never said."""

    request_id: str
    attempt: int
    counters: tuple[str, ...]
    held_nano: int
    delivered_tokens: int
    epoch: str
    call: bytes


def read_scripts() -> dict[str, tuple[str, bytes]]:
    """The Lua scripts by name: their SHA-1 (how Redis calls them) and text."""
    folder = files("gateway.limits")
    texts = {name: (folder / f"{name}.lua").read_bytes() for name in _NAMES}
    return {name: (hashlib.sha1(text, usedforsecurity=False).hexdigest(), text) for name, text in texts.items()}


def load_commands(scripts: dict[str, tuple[str, bytes]]) -> list[tuple[str | bytes, ...]]:
    """What a fresh connection tells Redis, so that the scripts can be called by their hash."""
    return [("SCRIPT", "LOAD", text) for _, text in scripts.values()]


class Limiter:
    """Asks the scripts. Raises RedisAway or RedisRefused when no answer came."""

    def __init__(self, line: RedisLine, scripts: dict[str, tuple[str, bytes]], clock: Clock) -> None:
        self._line = line
        self._calls = {name: packed("EVALSHA", sha, 0) for name, (sha, _) in scripts.items()}
        self._texts = {name: packed("EVAL", text, 0) for name, (_, text) in scripts.items()}
        self._clock = clock
        self._lease_ms = int(LEASE_SECONDS * 1000)
        self._place = ("", packed("", self._lease_ms))
        self._ahead_ms = 0

    async def admit(self, claim: Claim) -> Admitted | Refused:
        """Hold an attempt's worst case, or say why not."""
        for _ in range(_CLOCK_TRIES):
            here_ms = int(self._clock.now().timestamp() * 1000)
            at_ms = claim.began_ms or here_ms + self._ahead_ms
            counters = claim.terms.counters(claim.place if claim.is_owed else None, at_ms)
            periods = counters.whenever() if claim.began_ms else counters.admission
            answer = await self._run("admit", _own(claim), self._here(), claim.terms.admission, periods)
            if answer[0] == b"ok":
                return _admitted(answer, counters)
            if answer[0] != b"clock":
                return _refused(answer, counters)
            self._ahead_ms = int(answer[1]) - here_ms
        return Refused("closed")

    def _here(self) -> Packed:
        """Which server it is that is asked, and how long a lease is."""
        if self._place[0] != self._line.server:
            self._place = (self._line.server, packed(self._line.server, self._lease_ms))
        return self._place[1]

    async def settle(
        self, request_id: str, attempt: int, cost_nano: int, tokens: int, kind: UsageKind, epoch: str
    ) -> str:
        """Turn a hold into what the attempt cost, in the epoch that its event names; `settled`, `corrected`, `late` or
        `known`."""
        own = packed(request_id, attempt, cost_nano, tokens, kind, epoch)
        answer = await self._run("settle", own, self._here())
        return str(answer[0].decode())

    async def renew(self, running: Sequence[tuple[str, int, int]]) -> Sight:
        """Renew leases: (request id, attempt, output tokens delivered) each; and look at the epoch."""
        arguments = [part for one in running for part in one]
        now_ms, epoch, *missing = await self._run("renew", packed(self._lease_ms, self._line.server, *arguments))
        return Sight(now_ms, epoch.decode(), frozenset(missing))

    async def hold_again(self, held: Held, seen: Sight) -> tuple[str, int] | None:
        """Write a hold again, soon after it was seen that it is gone: the epoch it is in (empty: admission is closed)
        and the nano-USD of its attempt that are held or counted. None when that took too long."""
        claim, admitted = held.claim, held.admitted
        arguments: tuple[Argument, ...] = (
            claim.request_id,
            claim.attempt,
            self._lease_ms,
            self._line.server,
            seen.now_ms + _NOT_AFTER_MS,
            admitted.held_nano,
            admitted.output_tokens,
            held.delivered_tokens,
            claim.call,
            held.epoch,
            *claim.terms.window_arguments,
            *admitted.counters.arguments,
        )
        answer = await self._run("rehold", packed(*arguments))
        return (answer[0].decode(), int(answer[1])) if answer else None

    async def reap(self, most: int, hidden_seconds: float) -> list[Abandoned]:
        """Claim abandoned holds."""
        claimed = await self._run("reap", packed(most, int(hidden_seconds * 1000)))
        return [_abandoned(row) for row in claimed]

    async def park(self, event: bytes, most: int) -> bool:
        """Keep an event in Redis while NATS is away; False when too many wait already."""
        return bool(await self._run("park", packed(most, event)))

    async def _run(self, name: str, *arguments: Packed) -> Any:
        try:
            try:
                return await self._line.ask_packed(self._calls[name], *arguments)
            except RedisRefused as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
            return await self._line.ask_packed(self._texts[name], *arguments)
        except RedisRefused as error:  # out of memory, read-only, misconfigured: closed, as if it were away
            raise RedisAway(str(error).partition(" ")[0]) from error


def _own(claim: Claim) -> Packed:
    """What an admission takes that no other has."""
    return packed(
        claim.request_id,
        claim.attempt,
        claim.input_nano,
        claim.nano_per_million_output,
        claim.output_tokens,
        1 if claim.may_cut_output else 0,
        claim.input_tokens,
        claim.choices,
        claim.call,
    )


def _admitted(answer: list[Any], counters: Counters) -> Admitted:
    _, epoch, output, held, rate_limit, rate_left, token_limit, token_left, at_ms, *counted = answer
    return Admitted(
        epoch=epoch.decode(),
        output_tokens=output,
        held_nano=held,
        rate_limit=rate_limit,
        rate_remaining=rate_left,
        token_limit=token_limit,
        token_remaining=token_left,
        counted=tuple(zip(counted[::2], counted[1::2], strict=True)),
        counters=counters,
        at_ms=at_ms,
    )


def _refused(answer: list[Any], counters: Counters) -> Refused:
    why: Why = answer[0].decode()
    if why in ("rate", "tokens"):
        return Refused(why, retry_ms=int(answer[1]), limit=int(answer[2]))
    if why == "budget":
        return Refused(why, is_waiting=bool(answer[2]), budget=counters.rules[int(answer[1])], room_nano=int(answer[3]))
    return Refused(why)


def _abandoned(row: list[bytes]) -> Abandoned:
    name, counters, amount, delivered, epoch, call = row
    request_id, _, attempt = name.decode().rpartition("/")
    names = tuple(counters.decode().split("\n"))
    return Abandoned(request_id, int(attempt), names, int(amount), int(delivered), epoch.decode(), call)
