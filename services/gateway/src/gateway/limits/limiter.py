"""Admission and settlement as the rest of the gateway sees them: typed questions to the Lua scripts.

The scripts decide; nothing here does. Every amount is a whole number of nano-USD.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from common.ids import UsageKind

from gateway.limits.redis import RedisAway, RedisLine, RedisRefused

_NAMES = ("admit", "settle", "renew", "reap", "park")

LEASE_SECONDS = 30.0
"""How long a hold is known to be alive without a word from its gateway."""

Refusal = Literal["closed", "revoked", "rate", "tokens", "concurrency", "budget"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What an attempt asks to be admitted with; `call` is what the reaper needs to tell of it, as JSON."""

    api_key_id: str
    request_id: str
    attempt: int
    rate_limit: int
    token_limit: int
    max_concurrency: int
    budget_nano: int
    input_nano: int
    nano_per_million_output: int
    output_tokens: int
    may_cut_output: bool
    input_tokens: int
    call: bytes
    choices: int = 1


@dataclass(frozen=True, slots=True)
class Admitted:
    """An attempt may run: what is held for it, and what the limits had left. -1: no such limit, or not counted again."""

    period: str
    spent_nano: int
    held_before_nano: int
    rate_remaining: int
    output_tokens: int
    held_nano: int
    token_remaining: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An attempt may not run. `is_waiting`: only what other calls hold stands in the way."""

    why: Refusal
    retry_ms: int | None = None
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A hold whose gateway no longer renews it. `delivered_tokens` is -1 when it never said."""

    request_id: str
    attempt: int
    suffix: str
    period: str
    held_nano: int
    delivered_tokens: int
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

    def __init__(self, line: RedisLine, scripts: dict[str, tuple[str, bytes]]) -> None:
        self._line = line
        self._scripts = scripts
        self._lease_ms = int(LEASE_SECONDS * 1000)

    async def admit(self, claim: Claim) -> Admitted | Refused:
        """Hold an attempt's worst case, or say why not."""
        answer = await self._run(
            "admit",
            claim.api_key_id,
            claim.request_id,
            claim.attempt,
            self._lease_ms,
            claim.rate_limit,
            claim.token_limit,
            claim.budget_nano,
            claim.input_nano,
            claim.nano_per_million_output,
            claim.output_tokens,
            1 if claim.may_cut_output else 0,
            claim.input_tokens,
            claim.max_concurrency,
            claim.call,
            claim.choices,
        )
        if answer[0] == b"ok":
            return Admitted(answer[1].decode(), *answer[2:])
        return _refused(answer, claim)

    async def settle(
        self, request_id: str, attempt: int, cost_nano: int, tokens: int, kind: UsageKind, suffix: str
    ) -> str:
        """Turn a hold into what the attempt cost; `settled`, `corrected` or `known`."""
        answer = await self._run("settle", request_id, attempt, cost_nano, tokens, kind, suffix)
        return str(answer[0].decode())

    async def renew(self, running: Sequence[tuple[str, int, int]]) -> int:
        """Renew leases: (request id, attempt, output tokens delivered) each; how many were still held."""
        arguments = [part for one in running for part in one]
        return int(await self._run("renew", self._lease_ms, *arguments))

    async def reap(self, most: int, hidden_seconds: float) -> list[Abandoned]:
        """Claim abandoned holds."""
        claimed = await self._run("reap", most, int(hidden_seconds * 1000))
        return [_abandoned(row) for row in claimed]

    async def park(self, event: bytes, most: int) -> bool:
        """Keep an event in Redis while NATS is away; False when too many wait already."""
        return bool(await self._run("park", most, event))

    async def _run(self, name: str, *arguments: bytes | str | int) -> Any:
        sha, text = self._scripts[name]
        try:
            try:
                return await self._line.ask("EVALSHA", sha, 0, *arguments)
            except RedisRefused as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
            return await self._line.ask("EVAL", text, 0, *arguments)
        except RedisRefused as error:  # out of memory, read-only, misconfigured: closed, as if it were away
            raise RedisAway(str(error).partition(" ")[0]) from error


def suffix_of(api_key_id: str, period: str) -> str:
    """`<id>:<YYYY>:<MM>`, by which the counters of a key and month are named."""
    return f"{api_key_id}:{period.replace('-', ':')}"


def _refused(answer: list[Any], claim: Claim) -> Refused:
    why: Refusal = answer[0].decode()
    if why in ("rate", "tokens"):
        return Refused(why, retry_ms=int(answer[1]))
    if why == "budget":
        spent, _, wanted = answer[1:]
        least = claim.input_nano + -(-claim.nano_per_million_output // 1_000_000) if claim.may_cut_output else wanted
        return Refused(why, is_waiting=spent + least <= claim.budget_nano)
    return Refused(why)


def _abandoned(row: list[bytes]) -> Abandoned:
    name, suffix, period, amount, delivered, call = row
    request_id, _, attempt = name.decode().rpartition("/")
    return Abandoned(request_id, int(attempt), suffix.decode(), period.decode(), int(amount), int(delivered), call)
