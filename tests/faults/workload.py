"""The seeded workload: which clients call when, with which key, for how much, and which of them hang up.

Pure but for `run`: the same seed gives the same orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random

from .clients import Order, place
from .journals import ClientCall, KeyTerms

WORDS = ("river", "lantern", "orchard", "copper", "winter", "signal", "harbour", "meadow")

_AGAIN_SECONDS = 1.0
HANG_UP_SHARE = 0.15
STREAMED_SHARE = 0.6
OPEN_ENDED_SHARE = 0.3


def orders_of(seed: int, calls: int, seconds: float, keys: list[str]) -> list[Order]:
    """The orders of a round, spread over its length."""
    draw = Random(f"workload {seed}")
    return [_order(draw, number, calls, seconds, keys) for number in range(calls)]


def _order(draw: Random, number: int, calls: int, seconds: float, keys: list[str]) -> Order:
    streamed = draw.random() < STREAMED_SHARE
    tokens = draw.randint(3, 30)
    hangs_up = draw.random() < HANG_UP_SHARE
    return Order(
        number=number,
        at_seconds=seconds * number / calls + draw.random() * seconds / calls,
        key=draw.choice(keys),
        gateway=draw.randrange(2),
        streamed=streamed,
        tokens=tokens,
        chunk_ms=draw.choice((0, 5, 20, 60)),
        max_tokens=None if draw.random() < OPEN_ENDED_SHARE else draw.randint(tokens, 60),
        hang_up_after=(draw.randint(1, max(1, tokens - 1)) if streamed and draw.random() < 0.7 else 0)
        if hangs_up
        else None,
        text=" ".join(draw.choices(WORDS, k=draw.randint(2, 12))),
    )


async def run(
    orders: list[Order],
    keys: Mapping[str, KeyTerms],
    gateways: list[tuple[str, int]],
    on_end: Callable[[ClientCall], None],
    tries: int = 1,
) -> None:
    """Carry out the orders, each at its time; every ended call is told. A client that is told to try again waits a
    second and does, `tries` times in all."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def carry_out(order: Order) -> None:
        await asyncio.sleep(max(0.0, began + order.at_seconds - loop.time()))
        for _ in range(tries):
            key = keys[order.key]
            seen = await place(order, key.secret, key.id, gateways)
            on_end(seen)
            if seen.retry_after is None:
                return
            await asyncio.sleep(_AGAIN_SECONDS)

    await asyncio.gather(*map(carry_out, orders))
