"""Admission by itself: a real Redis, keys and budgets by hand, no gateway around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis.asyncio as redis
from common.clock import Clock, SystemClock
from common.contracts.snapshots import BudgetSnapshot, TeamSnapshot, UserSnapshot
from common.money import Money
from common.periods import period_at
from gateway.limits.limiter import Admitted, Claim, Limiter, Refused, load_commands, read_scripts
from gateway.limits.redis import RedisLine
from gateway.limits.terms import TermsBook
from gateway.mirrors.budgets import Budgets
from gateway.mirrors.keys import ApiKey, Keys
from gateway_stack import key_snapshot

DOLLAR = 10**9


class Desk:
    """Where calls are admitted and settled; `redis` to look at what it wrote."""

    def __init__(self, line: RedisLine, client: Any, clock: Clock) -> None:
        self.line = line
        self.redis = client
        self.clock = clock
        self.limiter = Limiter(line, read_scripts(), clock)
        self.keys = Keys()
        self.budgets = Budgets()
        self._book = TermsBook(self.keys, self.budgets)

    def key(self, **changes: Any) -> ApiKey:
        """A key without limits but for these."""
        given = {"rate_limit": None, "monthly_budget": None, "user_id": None, **changes}
        self.keys.apply("key-1", key_snapshot(**given).model_dump_json().encode())
        found = self.keys.find(b"test-key-12345", SystemClock().now())
        assert found is not None
        return found

    def user(self, **limits: Any) -> None:
        """Limits of user u1."""
        self.keys.apply("user.u1", UserSnapshot(id="u1", **limits).model_dump_json().encode())

    def team(self, **limits: Any) -> None:
        """Limits of team t1."""
        self.keys.apply("team.t1", TeamSnapshot(id="t1", name="Team", **limits).model_dump_json().encode())

    def budget(self, scope: str, limit: str, **changes: Any) -> None:
        """A budget of this scope: a total one, unless said otherwise."""
        given = {"period": "total", **changes}
        name = "-".join([scope, *map(str, given.values())])
        snapshot = BudgetSnapshot(id=name, scope=scope, limit=Money.of(limit), **given)
        self.budgets.apply(name, snapshot.model_dump_json().encode())

    def claim(self, key: ApiKey, request: str, nano: int = DOLLAR, **changes: Any) -> Claim:
        """An attempt that may cost so much."""
        given: dict[str, Any] = {
            "terms": self._book.of(key), "place": ("openai", "gpt-4"), "request_id": request, "attempt": 1,
            "input_nano": nano, "nano_per_million_output": 0, "output_tokens": 10, "may_cut_output": False,
            "input_tokens": 10, "call": b"{}",
        }  # fmt: skip
        return Claim(**{**given, **changes})

    async def admit(self, key: ApiKey, request: str, nano: int = DOLLAR, **changes: Any) -> Admitted | Refused:
        """Ask for it."""
        return await self.limiter.admit(self.claim(key, request, nano, **changes))

    async def admitted(self, key: ApiKey, request: str, nano: int = DOLLAR, **changes: Any) -> Admitted:
        """Ask for it, and get it."""
        decided = await self.admit(key, request, nano, **changes)
        assert isinstance(decided, Admitted), decided
        return decided

    async def money(self, suffix: str) -> tuple[int, int]:
        """Nano-USD that are settled and held in a counter."""
        spent, held = await self.redis.mget(f"cost:{suffix}", f"held:{suffix}")
        return int(spent or 0), int(held or 0)

    async def everything(self) -> dict[str, Any]:
        """All that is in Redis, for comparison."""
        found: dict[str, Any] = {}
        for key in await self.redis.keys("*"):
            found[key.decode()] = await self.redis.dump(key)
        return found

    def month(self) -> str:
        """The key's counter of this month."""
        return f"key-1:{period_at('monthly', 'UTC', SystemClock().now()).name.replace('-', ':')}"


@asynccontextmanager
async def open_desk(redis_url: str, clock: Clock | None = None) -> AsyncIterator[Desk]:
    """A desk on an empty Redis whose admission is open."""
    client = redis.from_url(redis_url)
    await client.set("epoch", "e1")
    line = RedisLine(redis_url, 5.0, load_commands(read_scripts()))
    task = asyncio.create_task(line.run())
    await line.connected.wait()
    try:
        yield Desk(line, client, clock or SystemClock())
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.aclose()
